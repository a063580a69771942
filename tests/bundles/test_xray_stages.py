"""Stages of CAiD and Adam, restarts between them, other discriminators, published starts."""

import re
import subprocess

import pytest
import torch
from helpers.torchrun import environment, torchrun
from helpers.xray_bundle import cause, rows_of, weights_of

from medgenesis.engines import PretextTrainer, StagedWorkflow
from medgenesis.errors import CheckpointError, cause_of
from medgenesis.methods import check_caid_size
from medgenesis.networks import ResNet25D, UNet25D
from medgenesis.transforms import caid_views


def staged(bundle, **settings):
    names = [bundle.bundle.config("pretrain")]
    given = {"datalist": str(bundle.xrays), **bundle.tiny}
    given |= {"batch_size": 2, "num_workers": 0, "device": "cpu", **settings}
    workflow = StagedWorkflow(names, workflow_type="train", logging_file=False, **given)
    workflow.initialize()
    workflow.run()


LEVELS = {"level_0": {"level": 0}, "level_2": {"level": 2}}


def test_adam_goes_through_its_levels_and_goes_on_where_it_was_killed(adam, monkeypatch, one_thread):
    """Killed in the second stage after its first batch, and typed again; against a run that was not."""
    iteration, seen = PretextTrainer._iteration, []

    def killed_at_the_fourth(self, *args):
        seen.append(self.method.level)
        if len(seen) == 4:
            raise OSError("killed")
        return iteration(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(PretextTrainer, "_iteration", killed_at_the_fourth)
        with pytest.raises(RuntimeError) as error:
            staged(adam, stages=LEVELS, save_every=1)
        assert str(cause_of(error.value)) == "killed"
    staged(adam, stages=LEVELS)
    assert seen == [0, 0, 2, 2]
    whole, run = adam.root / "whole", adam.root / "runs" / "pretrain"
    staged(adam, stages=LEVELS, output_dir=str(whole))
    expected, found = (weights_of(folder / "level_2" / "last.pt") for folder in (whole, run))
    assert found["iteration"] == expected["iteration"] == 2
    for key, value in expected["method"].items():
        assert torch.equal(value, found["method"][key]), key
    assert [float(rows_of(whole / name / "metrics.csv")[0]["pruned"]) for name in LEVELS][0] == 0
    assert weights_of(adam.root / "models" / "pretrained.pt").keys() == ResNet25D("resnet18").state_dict().keys()
    for carry in (True, False):
        last = run / "level_2" / "last.pt"
        method = adam.workflow("pretrain", previous=str(last), carry_queue=carry).parser.get_parsed_content("method")
        assert torch.equal(method.discrimination.queue.keys, found["method"]["discrimination.queue.keys"]) == carry
    alone = cause(adam, "pretrain", level=2, output_dir=str(adam.root / "alone"))
    assert isinstance(alone, ValueError) and "previous" in str(alone) and "init" in str(alone)
    mistaken = cause(adam, "pretrain", previous=str(last), queue_size=32, output_dir=str(adam.root / "other"))
    assert isinstance(mistaken, CheckpointError) and str(last) in str(mistaken) and "queue_size" in str(mistaken)


@pytest.mark.parametrize(
    "settings, what",
    [
        ({"size": 64}, r"size: must divide by 32, .* be at least 81, .*; found 64 in mode 'caid'\. Give 96, "),
        ({"size": 81}, r"size: must divide by 32, .* found 81 in mode 'id'\. Give 96, "),
        ({"stages::caid::pretrain_epochs": 0}, "pretrain_epochs: must be a whole number above 0; found 0"),
    ],
)
def test_a_later_stage_s_settings_are_refused_before_the_first_is_trained(caid, tmp_path, settings, what):
    with pytest.raises(RuntimeError) as error:
        staged(caid, output_dir=str(tmp_path / "run"), datalist="absent.json", **settings)
    assert re.match(what, str(cause_of(error.value)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("overlays", [(), ("multi_gpu",)])
def test_a_run_without_stages_is_checked_before_it_begins(adam, caid, tmp_path, overlays):
    given = {"output_dir": str(tmp_path / "run"), "datalist": "absent.json"}
    found = [cause(caid, "pretrain", *overlays, size=64, **given)]
    found.append(cause(adam, "pretrain", *overlays, **{"views#grid": "round"}, **given))
    assert str(found[0]).startswith("size: must divide by 32") and str(found[1]).startswith("grid: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("size", [0, 33, 80, 81, 96, 97, 224, 250])
def test_the_size_that_is_named_instead_fits_views_and_network_of_both_stages(size):
    try:
        check_caid_size(size, "caid")
        named = [size]
    except ValueError as error:
        named = [int(one) for one in re.search(r"Give (\d+)(?: or (\d+))?,", str(error)).groups() if one]
    assert max(named) >= size and min(named) > size - 32
    for side in named:
        for mode in ("id", "caid"):
            check_caid_size(side, mode)
            caid_views(side, mode=mode)
        UNet25D("resnet18_w8", size=side)


@pytest.mark.slow
def test_caid_in_two_stages(caid):
    staged(caid)
    run = caid.root / "runs" / "pretrain"
    first, second = (rows_of(run / name / "metrics.csv")[-1] for name in ("id", "caid"))
    assert "context" not in first and float(second["context"]) > 0
    started = caid.workflow("pretrain", previous=str(run / "id" / "last.pt")).parser.get_parsed_content("method")
    left = weights_of(run / "id" / "last.pt")["method"]
    assert torch.equal(started.network.encoder.conv1.weight, left["network.encoder.conv1.weight"])
    assert not torch.equal(started.discrimination.queue.keys, left["discrimination.queue.keys"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SimSiam", "BarlowTwins"])
def test_caid_with_another_discriminator(caid, name):
    dim = {f"discriminators#{name}#dim": 32}
    method = caid.run("pretrain", discriminator=name, **dim).trainer.method
    assert type(method.discrimination).__name__ == name


@pytest.mark.parametrize("config", ["pretrain", "finetune", "classify"])
def test_published_weights_are_a_start_as_they_are(caid, tmp_path, config):
    """A MoCo checkpoint of 3 channels, into slabs of 5 slices: the stem is spread, the rest is the file's."""
    backbone = ResNet25D("resnet18").state_dict()
    published = {f"module.encoder_q.{name}": value for name, value in backbone.items()}
    published |= {"module.encoder_q.fc.weight": torch.zeros(128, 512), "module.queue": torch.zeros(128, 16)}
    torch.save({"epoch": 800, "state_dict": published}, tmp_path / "checkpoint.pth.tar")
    workflow = caid.workflow(config, init=str(tmp_path / "checkpoint.pth.tar"), slices=5)
    encoder = workflow.parser.get_parsed_content("network").encoder.state_dict()
    for name, value in backbone.items():
        if name == "conv1.weight":
            assert encoder[name].shape[1] == 5
            torch.testing.assert_close(encoder[name].sum(dim=1), value.sum(dim=1))
        else:
            assert torch.equal(encoder[name], value), name


@pytest.mark.slow
def test_two_processes_go_through_the_levels(adam, tmp_path):
    files = [adam.bundle.config("pretrain"), adam.bundle.config("multi_gpu")]
    given = {**adam.tiny, "batch_size": 2, "num_workers": 0, "datalist": adam.xrays, "stages": LEVELS}
    command = torchrun(2, files, given, "--workflow_name", "medgenesis.engines.StagedWorkflow")
    subprocess.run(command, check=True, cwd=tmp_path, env=environment(), capture_output=True, timeout=300)
    last = weights_of(adam.root / "runs" / "pretrain" / "level_2" / "last.pt")
    assert last["settings"]["processes"] == 2
    assert last["method"]["discrimination.queue.pointer"].item() == 8  # two stages of an epoch, one batch of 4 each
