"""Trainings of every bundle by several processes, and the overlay that measures them: slow."""

import json
import subprocess

import pytest
import torch
from helpers.torchrun import environment, torchrun

from medgenesis import bundles
from medgenesis.cli.configs import find_bundle, merged_settings
from medgenesis.storage.tables import read_table

pytestmark = pytest.mark.slow
NAMES = bundles.names()
LARGER = {"patches_per_image": 8, "slabs_per_image": 16}  # for four processes
SLABS = {"backbone": "resnet18_w8", "size": 96, "queue_size": 16, "batch_size": 4, "slabs_per_image": 4}


@pytest.fixture
def trained(request, copied, patterns, tmp_path):
    """A copy of the bundle, its overlays for the phantoms, and settings that make it small."""
    bundle = copied(request.param, tmp_path / "copy")
    own = find_bundle(str(bundle.root))
    overlays = ["slabs"] if "slabs" in own.overlays() else []
    small = SLABS if overlays else {"patterns": str(patterns), "block_size": 8}  # of cubes of 16 voxels
    known = {id for task in own.tasks() for id in merged_settings(own.files(task, overlays))}
    return bundle, overlays, {id: value for id, value in small.items() if id in known}


@pytest.mark.parametrize("task, processes", [("pretrain", 2), ("pretrain", 4), ("finetune", 2)])
@pytest.mark.parametrize("trained", NAMES, indirect=True)
def test_several_processes_write_one_model(trained, task, processes, tmp_path):
    """Gloo processes; rank 0 writes, and the model is the one of all."""
    bundle, overlays, small = trained
    if task not in find_bundle(str(bundle.root)).tasks():
        pytest.skip("a bundle of published encoders, without a pre-training of its own")
    files = [bundle.config(name) for name in (task, *overlays, "multi_gpu")]
    given = {**bundle.tiny, **small, "datalist": bundle.datalist, f"{task}_epochs": 1}
    given |= {id: value for id, value in LARGER.items() if id in given and processes == 4}
    given |= {"init": "scratch"} if task == "finetune" else {}
    given |= {"volumes_per_batch": 1} if task == "finetune" and not overlays else {}
    command = torchrun(processes, files, given)
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-6000:]
    run = bundle.root / "runs" / task
    lasts = [*run.rglob("last.pt")]  # Adam has one a level
    assert lasts and all(torch.load(last, weights_only=True)["settings"]["processes"] == processes for last in lasts)
    starts = [start for record in run.rglob("run.json") for start in json.loads(record.read_text())]
    assert starts and all(start["machine"]["processes"] == processes for start in starts)
    assert (bundle.root / "models" / ("model.pt" if task == "finetune" else "pretrained.pt")).is_file()


@pytest.mark.parametrize("trained", NAMES, indirect=True)
def test_evaluate_measures_the_test_section(trained, phantoms):
    bundle, overlays, small = trained
    bundle.run("finetune", *overlays, **small, init="scratch", finetune_epochs=1)
    bundle.run("finetune", *overlays, "evaluate", **small)
    cases = read_table(bundle.root / "runs" / "finetune" / "evaluation" / "cases.csv")
    assert {row["case"] for row in cases} == {
        str(number) for number, _ in enumerate(json.loads(phantoms.read_text())["test"], 1)
    }
