"""Stages in one command: each from the last checkpoint of the one before, resumed exactly, finished ones left alone."""

import csv
import json
import logging
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.torchrun import environment, torchrun
from monai.bundle import run
from PIL import Image

from medgenesis.engines import StagedWorkflow
from medgenesis.errors import CheckpointError
from medgenesis.storage import read_checkpoint, save_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = Path(__file__).parent / "staged.yaml"
STAGES = ("level_0", "level_2", "level_4")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("xrays"), np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (40, 44)).astype(np.uint8)).save(folder / f"{i}.png")
    return [{"image": str(folder / f"{i}.png")} for i in range(4)]


def train(folder, records, **settings):
    """What is typed on the command line."""
    workflow = "medgenesis.engines.StagedWorkflow"
    run(config_file=str(CONFIG), workflow_name=workflow, output_dir=str(folder), records=records, **settings)


def last(folder, stage):
    return read_checkpoint(folder / stage / "last.pt")


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.fixture(scope="module")
def whole(records, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    train(folder, records)
    return folder


def test_each_stage_has_its_folder_its_settings_and_its_logs(whole):
    for stage, epochs in zip(STAGES, (2, 1, 2), strict=True):  # a setting of one stage is not that of the next
        with (whole / stage / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == epochs and {"val_loss", "val_pruned", "pruned"} <= rows[0].keys()
        assert len(list((whole / stage / "images").iterdir())) == epochs
        assert list((whole / stage / "tensorboard").iterdir())
        assert last(whole, stage)["iteration"] == 2 * epochs
    with Image.open(whole / "level_0" / "images" / "epoch_0001.png") as image:
        assert image.size == (2 * 2 * 20, 2 * 4 * 20)  # two views of 16 pixels, four rows, enlarged twice


def test_all_that_was_learnt_goes_over(whole, records, tmp_path):
    """A stage that learns nothing, by a rate of 0 and a momentum of 1, holds what it began with."""
    frozen = {"method_def#momentum": 1.0, "optimizer": "$torch.optim.SGD(@method.parameters(), 0.0)"}
    stages = {"level_0": {"level": 0}, "level_2": {"level": 2, **frozen}}
    for carry in (True, False):
        folder = tmp_path / str(carry)
        train(folder, records, stages=stages, epochs=1, carry_queue=carry)
        before, after = (last(folder, stage)["method"] for stage in stages)
        for name in before:
            if "running" in name or "num_batches" in name or name.endswith(("updates", "batches")):
                continue  # running statistics of batch norm move in every pass
            if ".queue." not in name:
                assert torch.equal(before[name], after[name]), name
        learnt, kept = (state["discrimination.queue.keys"][:, :8] for state in (before, after))
        assert torch.equal(learnt, kept) is carry  # of a queue of its own the second stage writes these columns first
        assert after["discrimination.queue.pointer"].item() == (16 if carry else 8)


@pytest.mark.parametrize(
    "level, iteration",
    [pytest.param(0, 3, marks=pytest.mark.slow), (2, 1), pytest.param(4, 2, marks=pytest.mark.slow)],
)
def test_a_broken_stage_resumes_exactly(whole, records, tmp_path, monkeypatch, level, iteration):
    monkeypatch.setenv("STAGE_KILL", f"{level} {iteration}")
    with pytest.raises(BaseException) as error:
        train(tmp_path, records)
    assert "KeyboardInterrupt" in repr(error.value) or "KeyboardInterrupt" in repr(error.value.__cause__)
    monkeypatch.delenv("STAGE_KILL")
    noted = json.loads((tmp_path / "steps.json").read_text())
    finished = [stage for stage in noted if noted[stage]["finished"]]
    assert finished == [stage for stage in STAGES if int(stage[-1]) < level]
    dates = {stage: (tmp_path / stage / "last.pt").stat().st_mtime_ns for stage in finished}
    train(tmp_path, records)
    for stage in STAGES:
        assert same(last(tmp_path, stage), last(whole, stage)), stage
    assert dates == {stage: (tmp_path / stage / "last.pt").stat().st_mtime_ns for stage in finished}


@pytest.mark.slow
def test_processes_that_arrive_one_by_one_stay_together(records, tmp_path):
    """Rank 0 comes late to each stage; the other must wait for it, not meet what is left of the last stage's group."""
    overlay = {
        "initialize": [
            "$None if torch.distributed.is_initialized() else torch.distributed.init_process_group('gloo')",
            "$torch.manual_seed(@seed)",
        ],
        "run": ["$@trainer.run()", "$__import__('helpers.stage_parts', fromlist=['late']).late()"],
        "finalize": ["$torch.distributed.destroy_process_group()", f"$open('{tmp_path}/' + @rank, 'x').close()"],
        "rank": "$__import__('os').environ['RANK']",
        "records": records,
        "output_dir": str(tmp_path / "run"),
    }
    (tmp_path / "overlay.json").write_text(json.dumps(overlay))
    files, workflow = [CONFIG, tmp_path / "overlay.json"], "medgenesis.engines.StagedWorkflow"
    command = torchrun(2, files, {}, "--workflow_name", workflow)
    surroundings = environment(PYTHONPATH=str(CONFIG.parents[1]))  # of the helpers
    for again in (False, True):  # the second time all stages are finished, and there is nothing to finalise
        done = subprocess.run(command, env=surroundings, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        assert sorted(path.name for path in tmp_path.glob("[01]")) == ([] if again else ["0", "1"])
        for path in tmp_path.glob("[01]"):
            path.unlink()
    for stage, epochs in zip(STAGES, (2, 1, 2), strict=True):
        assert last(tmp_path / "run", stage)["iteration"] == epochs
        assert last(tmp_path / "run", stage)["settings"]["processes"] == 2


def test_a_finished_run_is_left_and_changes_are_said(whole, records, caplog):
    caplog.set_level(logging.INFO)
    dates = {path: path.stat().st_mtime_ns for path in whole.rglob("*.*")}
    train(whole, records)
    assert "stage level_4: finished" in caplog.text and "was made with" not in caplog.text
    train(whole, records, batch_size=2)
    assert caplog.text.count("was made with batch_size = 4, now it is 2; it is kept as it is") == 3
    assert dates == {path: path.stat().st_mtime_ns for path in whole.rglob("*.*")}


@pytest.mark.parametrize("finished", [(), STAGES[:1], STAGES[:2], STAGES])
def test_checks_are_of_the_stages_that_are_left(tmp_path, finished):
    for stage in finished:
        save_checkpoint({}, tmp_path / stage / "last.pt")
    noted = {stage: {"settings": {}, "finished": True} for stage in finished}
    (tmp_path / "steps.json").write_text(json.dumps(noted))
    checks = [f"$open('{tmp_path}/judged', 'a').write(str(@level))"]
    StagedWorkflow(config_file=str(CONFIG), output_dir=str(tmp_path), checks=checks).check()
    judged = tmp_path / "judged"
    left = [stage[-1] for stage in STAGES if stage not in finished]
    assert (judged.read_text() if judged.exists() else "") == "".join(left)


def test_a_stage_on_what_is_gone_is_refused(records, tmp_path):
    for stage in ("level_2", "level_4"):
        save_checkpoint({}, tmp_path / stage / "last.pt")
    (tmp_path / "steps.json").write_text(json.dumps({"level_4": {"settings": {}, "finished": True}}))
    with pytest.raises(ValueError, match="level_4: must stand on finished stages; found stage level_0"):
        train(tmp_path, records)


def test_a_stage_without_checkpoint_is_an_error(records, tmp_path):
    with pytest.raises(CheckpointError, match=r"level_0/last.pt: must be there after stage level_0"):
        train(tmp_path, records, **{"trainer#train_handlers": []})
    assert not json.loads((tmp_path / "steps.json").read_text())["level_0"]["finished"]


@pytest.mark.parametrize("stages", [None, {}, [{"level": 0}], {"level_0": 0}])
def test_no_stages_are_refused(tmp_path, stages):
    with pytest.raises(ValueError, match="stages: the config must have names"):
        StagedWorkflow(config_file=str(CONFIG), stages=stages)
