"""The scripts of docs/howto/clusters.md, with commands in the place of Slurm's: stopped, put back, and finished."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from medgenesis import bundles
from medgenesis.data import read_datalist, write_datalist
from medgenesis.datasets.phantom import write_phantoms

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto" / "clusters.md").read_text()
SCRIPTS = [text for text in re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL) if "#SBATCH" in text]
TINY = "--width 2 --cube_size [16,16,16] --crop_criterion any --patches_per_image 32 --batch_size 2 --device cpu"
TINY += " --num_workers 0 --pretrain_epochs 3"
COMMANDS = {
    "srun": 'exec "$@"',
    "scontrol": 'if [ "$1" = show ]; then echo localhost; else echo "$@" >> requeued; fi',
    "medgenesis": f'exec {sys.executable} -m medgenesis "$@" {TINY}',
    # in the place of a second machine a second process
    "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@" {TINY}',
}


@pytest.fixture
def job(tmp_path):
    """job(script) -> the process of a job, in a folder with my_model and my_ct.json."""
    bundles.copy("models_genesis_ct", tmp_path / "my_model")
    listed = write_phantoms(tmp_path / "phantoms", 4, seed=0, shape=(32, 32, 32), split=(0.5, 0.5, 0.0))
    write_datalist(read_datalist(listed), tmp_path / "my_ct.json")
    for name, text in COMMANDS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    environment |= {"SLURM_NNODES": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "a", "CUDA_VISIBLE_DEVICES": ""}

    def start(script):
        (tmp_path / "job.sh").write_text(script.replace("--nproc_per_node=4", "--nproc_per_node=2"))
        with (tmp_path / "said").open("w") as said:
            return subprocess.Popen(["bash", "job.sh"], cwd=tmp_path, env=environment, stdout=said, stderr=said)

    return start


def test_a_job_that_fails_says_so_and_is_not_put_back(job, tmp_path):
    (tmp_path / "bin" / "medgenesis").write_text("#!/bin/bash\nexit 2\n")
    assert job(SCRIPTS[0]).wait(timeout=60) == 2
    assert not (tmp_path / "requeued").exists()


@pytest.mark.slow
@pytest.mark.timeout(3600)  # three trainings, that import for half a minute each on a busy machine
@pytest.mark.parametrize("script", SCRIPTS, ids=["one process", "several machines"])
def test_a_job_is_stopped_put_back_and_ends_as_if_it_had_not_been(job, script, tmp_path):
    last = tmp_path / "my_model" / "runs" / "pretrain" / "last.pt"
    assert job(script).wait(timeout=1200) == 0, (tmp_path / "said").read_text()[-3000:]
    assert not (tmp_path / "requeued").exists(), "a job that has ended is not put back"
    wanted = torch.load(last, weights_only=True)
    last.parent.rename(tmp_path / "uninterrupted")
    begun = job(script)
    until = time.monotonic() + 600
    while not last.exists() and time.monotonic() < until:
        time.sleep(0.1)
    begun.send_signal(signal.SIGTERM)
    assert begun.wait(timeout=600) != 0
    assert (tmp_path / "requeued").read_text() == "requeue 7\n", (tmp_path / "said").read_text()[-3000:]
    stopped = torch.load(last, weights_only=True)["iteration"]
    assert 0 < stopped < wanted["iteration"]
    assert job(script).wait(timeout=1200) == 0
    found = torch.load(last, weights_only=True)
    assert found["iteration"] == wanted["iteration"]
    assert all(torch.equal(found["method"][name], value) for name, value in wanted["method"].items())
