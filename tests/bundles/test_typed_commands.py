"""The command as it is typed, from another folder and by two processes, which do what one does."""

import json
import subprocess

import pytest
import torch
from helpers.torchrun import environment, torchrun

from medgenesis.weights import settings_of

SHORT = {
    "width": 2,
    "cube_size": "[16,16,16]",
    "crop_criterion": "any",
    "patches_per_image": 4,
    "pretrain_epochs": 1,
    "num_workers": 0,
    "norm": "instance",
    "optimizer#_target_": "torch.optim.SGD",  # Adam would turn rounding of a gradient near 0 into a whole step
    "learning_rate": 0.5,
    "train#trainer#clip_norm": "$None",
}


def test_typed_command_runs_from_any_folder_and_two_processes_equal_one(fresh_bundle, tmp_path):
    """Two gloo processes with batches of 2 take the steps of one process with batches of 4."""
    files = [fresh_bundle.config("pretrain"), fresh_bundle.config("multi_gpu")]
    settings = {**SHORT, "datalist": fresh_bundle.datalist, "device": "cpu"}
    two = torchrun(2, files, {**settings, "batch_size": 2})
    subprocess.run(two, check=True, cwd=tmp_path, env=environment(), capture_output=True, timeout=240)
    last = torch.load(fresh_bundle.root / "runs" / "pretrain" / "last.pt", weights_only=True)
    assert last["settings"]["processes"] == 2
    one = fresh_bundle.run(
        "pretrain",
        **{key: value for key, value in settings.items() if key not in ("cube_size", "train#trainer#clip_norm")},
        **{"batch_size": 4, "output_dir": str(tmp_path / "one"), "train#trainer#clip_norm": "$None"},
    )
    assert one.trainer.state.iteration == last["iteration"]
    for name, value in one.trainer.method.state_dict().items():
        torch.testing.assert_close(last["method"][name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_finetuning_by_two_processes_writes_one_model(fresh_bundle, tmp_path):
    """Two gloo processes; rank 0 writes, and the model is the one of both."""
    files = [fresh_bundle.config("finetune"), fresh_bundle.config("multi_gpu")]
    settings = {**fresh_bundle.tiny, "datalist": fresh_bundle.datalist, "init": "scratch", "volumes_per_batch": 1}
    command = torchrun(2, files, settings)
    subprocess.run(command, check=True, cwd=tmp_path, env=environment(), capture_output=True, timeout=400)
    last = torch.load(fresh_bundle.root / "runs" / "finetune" / "last.pt", weights_only=True)
    assert last["settings"]["processes"] == 2
    assert settings_of(fresh_bundle.root / "models" / "model.pt")["num_classes"] == 3
    (start,) = json.loads((fresh_bundle.root / "runs" / "finetune" / "run.json").read_text())
    assert start["machine"]["processes"] == 2
