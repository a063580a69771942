"""Weights for nnU-Net and from it: every key but the heads, or nothing."""

import hashlib
import json
import os

import numpy as np
import pytest
import torch
from helpers.nnunet import plans

from medgenesis.data.nnunet import plan_of
from medgenesis.errors import CheckpointError
from medgenesis.networks import planned_network
from medgenesis.weights import load_pretrained, settings_of, with_settings
from medgenesis.weights.nnunet import export_for_nnunet, read_fold, save_start

pytest.importorskip("dynamic_network_architectures")


def planned(**named):
    return plan_of(plans(**named), source="plans")


def pretrained(path, plan, **changes):
    """A file as pre-training writes it, and its network."""
    torch.manual_seed(0)
    network = planned_network(plan["architecture"], len(plan["channels"]), len(plan["channels"]))
    torch.save(with_settings({**network.state_dict(), **changes}, {"plan": plan}), path)
    return network


def loaded_as_nnunet_does(network, path):
    """The rule of nnU-Net's load_pretrained_weights (2.8.1), in short; the keys that it takes."""
    given = torch.load(path, weights_only=True)["network_weights"]
    own = network.state_dict()
    for key in own:
        if ".seg_layers." not in key:
            assert key in given and given[key].shape == own[key].shape
    taken = {key: value for key, value in given.items() if key in own and ".seg_layers." not in key}
    own.update(taken)
    network.load_state_dict(own)
    return taken


@pytest.mark.parametrize("residual", [False, True])
def test_nnunet_takes_every_key_but_the_heads(tmp_path, residual):
    plan = planned(residual=residual)
    network = pretrained(tmp_path / "p.pt", plan)
    report = export_for_nnunet(tmp_path / "p.pt", tmp_path / "start.pth")
    assert report.complete and all(".seg_layers." in key for key in report.dropped)
    for_labels = planned_network(plan["architecture"], 1, 4)
    taken = loaded_as_nnunet_does(for_labels, tmp_path / "start.pth")
    assert taken.keys() == {key for key in for_labels.state_dict() if ".seg_layers." not in key}
    volume = torch.randn(1, 1, 8, 16, 12)
    for one, other in zip(network.encoder(volume), for_labels.encoder(volume), strict=True):
        torch.testing.assert_close(one, other)


def test_a_checkpoint_of_training_is_exported_too(tmp_path):
    plan = planned()
    network = planned_network(plan["architecture"], 1, 1)
    method = with_settings({f"network.{key}": value for key, value in network.state_dict().items()}, {"plan": plan})
    torch.save({"method": method, "iteration": 3}, tmp_path / "best.pt")
    assert export_for_nnunet(tmp_path / "best.pt", tmp_path / "start.pth").complete


def test_weights_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path):
    plan = planned()
    network = pretrained(tmp_path / "p.pt", plan)
    out = tmp_path / "start.pth"
    wider = planned()
    wider["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 8, 16]
    for other in (wider, planned(channels=2), planned(residual=True)):
        with pytest.raises(CheckpointError, match="must have every weight of the plans' network but its heads"):
            export_for_nnunet(tmp_path / "p.pt", out, other)
    torch.save(network.state_dict(), tmp_path / "plain.pt")
    with pytest.raises(CheckpointError, match="must hold the plan that it was trained with"):
        export_for_nnunet(tmp_path / "plain.pt", out)
    key = "encoder.stages.0.0.convs.0.conv.weight"
    pretrained(tmp_path / "nan.pt", plan, **{key: torch.full_like(network.state_dict()[key], float("nan"))})
    with pytest.raises(CheckpointError, match="weights must be finite"):
        export_for_nnunet(tmp_path / "nan.pt", out)
    assert not out.exists()
    assert export_for_nnunet(tmp_path / "plain.pt", out, plan).complete


def test_plans_that_differ_in_what_is_seen_are_said(tmp_path, caplog):
    pretrained(tmp_path / "p.pt", planned())
    export_for_nnunet(tmp_path / "p.pt", tmp_path / "start.pth", planned(spacing=(3.0, 1.0, 1.0)))
    assert "spacing: [2.0, 1.0, 1.0] in the weights' plan, [3.0, 1.0, 1.0] in that of --plans" in caplog.text


def fold(folder, content=None, **changes):
    """A fold's folder as nnU-Net leaves it, and its network."""
    content = content or plans()
    plan = plan_of(content, source="plans")
    network = planned_network(plan["architecture"], len(plan["channels"]), 3)
    checkpoint = {
        "network_weights": network.state_dict(),
        "optimizer_state": {},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5)], "ema_fg_dice": [np.float32(0.5)]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 1,
        "init_args": {
            "plans": content,
            "configuration": "3d_fullres",
            "fold": 0,
            "dataset_json": {"channel_names": {str(i): f"T{i}" for i in range(len(plan["channels"]))}},
            "device": torch.device("cpu"),
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
        **changes,
    }
    folder.mkdir(parents=True)
    torch.save(checkpoint, folder / "checkpoint_final.pth")
    return network


def test_a_fold_starts_our_fine_tuning(tmp_path):
    network = fold(tmp_path / "fold_0")
    found = read_fold(tmp_path / "fold_0")
    assert found.report.complete and found.plan["channels"][0]["name"] == "T0"
    save_start(found, tmp_path / "pretrained.pt")
    kept = settings_of(tmp_path / "pretrained.pt")
    assert kept["plan"] == json.loads(json.dumps(found.plan)) and kept["cube_size"] == [8, 16, 12]
    ours = planned_network(kept["plan"]["architecture"], 1, 3)
    report = load_pretrained(ours, tmp_path / "pretrained.pt")
    assert report.complete and not report.fresh
    volume = torch.randn(1, 1, 8, 16, 12)
    torch.testing.assert_close(ours(volume), network(volume))
    fewer = planned_network(kept["plan"]["architecture"], 1, 2)
    assert all(".seg_layers." in key for key in load_pretrained(fewer, tmp_path / "pretrained.pt").fresh)
    load_pretrained(fewer, tmp_path / "fold_0" / "checkpoint_final.pth")  # --init takes the fold itself


def test_a_fold_leaves_where_it_is_from_beside_the_weights(tmp_path):
    fold(tmp_path / "fold_0")
    found = read_fold(tmp_path / "fold_0")
    save_start(found, tmp_path / "models" / "pretrained.pt")
    said = json.loads((tmp_path / "models" / "pretrained.json").read_text())
    content = found.path.read_bytes()
    assert said["source"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert said["source"]["file"] == "checkpoint_final.pth" and said["source"]["bytes"] == len(content)
    assert said["layout"] == "nnunet-v2" and said["settings"]["plan"] == json.loads(json.dumps(found.plan))
    assert said["title"].endswith("trained by nnUNetTrainer") and said["terms"].startswith("not known")
    assert all(channel["scheme"] in said["expects"] for channel in found.plan["channels"])
    assert said["loaded"] == len(found.state_dict) and said["share_of_network"] == 1
    assert str(tmp_path) not in json.dumps(said)
    kept = settings_of(tmp_path / "models" / "pretrained.pt").origin
    assert kept["source"] == said["source"] and kept["title"] == said["title"]


def test_what_is_no_fold_of_nnunet_2_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="must hold checkpoint_final.pth or"):
        read_fold(tmp_path / "empty")
    torch.save({"state_dict": {}}, tmp_path / "v1.model")
    with pytest.raises(CheckpointError, match="must be a checkpoint of nnU-Net v2.*found state_dict"):
        read_fold(tmp_path / "v1.model")
    fold(tmp_path / "v1", init_args={"plans": {"plans_per_stage": {}}, "configuration": "3d_fullres"})
    with pytest.raises(ValueError, match="found those of v1"):
        read_fold(tmp_path / "v1")
    network = fold(tmp_path / "whole")
    weights = network.state_dict()
    weights.pop("encoder.stages.0.0.convs.0.norm.weight")
    fold(tmp_path / "part", network_weights=weights)
    with pytest.raises(CheckpointError, match="must have the weights of its own plans' network"):
        read_fold(tmp_path / "part")


GOOD = {"plans": plans(), "configuration": "3d_fullres"}


@pytest.mark.parametrize(
    "said",
    [
        *(None, [], 5, {}, {"plans": plans()}, {"configuration": "3d_fullres"}),
        *({**GOOD, "plans": wrong} for wrong in (None, [1], 5, {}, {"configurations": []}, {"configurations": {}})),
        *({**GOOD, "configuration": wrong} for wrong in (None, 3, "2d", ["3d_fullres"])),
        *({**GOOD, "dataset_json": wrong} for wrong in ([1], 5, {"channel_names": 3}, {"channel_names": {}})),
        *({**GOOD, "plans": {**plans(), "configurations": {"3d_fullres": wrong}}} for wrong in (None, [], {}, 3)),
    ],
)
def test_malformed_init_args_are_refused_by_the_file(tmp_path, said):
    fold(tmp_path / "fold_0", init_args=said)
    with pytest.raises((CheckpointError, ValueError), match=r"checkpoint_final.pth.*(must|cannot)"):
        read_fold(tmp_path / "fold_0" / "checkpoint_final.pth")


class Runs:
    """A pickle that runs a program when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_fold_is_not_run(tmp_path):
    fold(tmp_path / "evil", logging=Runs(str(tmp_path / "ran")))
    with pytest.raises(CheckpointError, match="could run code from the file; found posix.mkdir"):
        read_fold(tmp_path / "evil")
    assert not (tmp_path / "ran").exists()


def test_an_unfinished_fold_is_said(tmp_path, caplog):
    fold(tmp_path / "fold_0")
    (tmp_path / "fold_0" / "checkpoint_final.pth").rename(tmp_path / "fold_0" / "checkpoint_best.pth")
    assert read_fold(tmp_path / "fold_0").path.name == "checkpoint_best.pth"
    assert "the fold is not finished; its checkpoint_best.pth is taken" in caplog.text
