"""The product as users of other Pythons have it: an environment, `pip install .` with the pins, a step of each bundle.

It downloads PyTorch for each interpreter, gigabytes, so it is asked for by a variable of the environment:
MEDGENESIS_DOWNLOADS=1 pytest --slow tests/test_interpreters.py
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
TINY = {
    **{"pretrain_epochs": 1, "patches_per_image": 2, "batch_size": 2, "num_workers": 0, "device": "cpu"},
    **{"width": 2, "cube_size": "[32,32,16]", "crop_criterion": "foreground"},
    **{"backbone": "resnet18", "size": 96, "queue_size": 8},
    **{"classes": 2, "train_patients": 2, "validation_patients": 2, "min_distance": 1, "autoencoder_epochs": 1},
    **{"volume_size": "[16,16,16]", "volumes_per_batch": 2},
}


def interpreter(version: str) -> str | None:
    installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(installed[-1]) if installed else shutil.which(f"python{version}")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_each_bundle_takes_a_step(version, tmp_path):
    if not os.environ.get("MEDGENESIS_DOWNLOADS"):
        pytest.skip("downloads gigabytes: set MEDGENESIS_DOWNLOADS=1")
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    programs = tmp_path / "environment" / "bin"
    try:
        run(python, "-m", "venv", "environment")
        run(str(programs / "pip"), "install", "-q", "--no-compile", "-c", str(ROOT / "constraints.txt"), str(ROOT))
        run(str(programs / "medgenesis"), "phantom", "data", "--subjects", "10", "--shape", "32", "32", "32")
        listed = "import json, medgenesis.bundles as b; print(json.dumps(b.names()))"
        for name in json.loads(run(str(programs / "python"), "-c", listed)):
            run(str(programs / "medgenesis"), "bundle", name, name)
            for task in ("mine", "pretrain"):
                config = tmp_path / name / "configs" / f"{task}.yaml"
                ids = yaml.safe_load(config.read_text()) if config.exists() else {}
                words = [word for id, value in TINY.items() if id in ids for word in (f"--{id}", str(value))]
                if ids:
                    run(str(programs / "python"), "-m", "monai.bundle", "run", "--config_file", str(config), *words)
            assert (tmp_path / name / "models" / "pretrained.pt").exists(), name
    finally:
        shutil.rmtree(tmp_path / "environment", ignore_errors=True)  # gigabytes
