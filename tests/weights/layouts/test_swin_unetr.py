"""MONAI's self-supervised Swin transformer and VoCo's weights, into MONAI's SwinUNETR."""

import argparse

import numpy as np
import pytest
import torch
from monai.networks.nets import SwinUNETR

from medgenesis.errors import CheckpointError
from medgenesis.weights import load_pretrained, load_published

HEADS = {
    "norm.weight": torch.ones(96),
    "rotation_pre.weight": torch.zeros(96, 96),
    "contrastive_head.bias": torch.zeros(512),
    "conv.0.weight": torch.zeros(48, 96, 3, 3, 3),
}


@pytest.fixture(scope="module")
def source():
    """A network whose transformer is published, with weights that differ everywhere."""
    torch.manual_seed(0)
    return SwinUNETR(in_channels=1, out_channels=2, feature_size=12)


def transformer(network):
    return {
        key.removeprefix("swinViT."): value.clone()
        for key, value in network.state_dict().items()
        if key.startswith("swinViT.")
    }


def published(network, prefix="module."):
    """As model_swinvit.pt: the transformer alone, its layers under MONAI's earlier names, and heads."""
    entries = {key.replace(".mlp.linear", ".mlp.fc"): value for key, value in transformer(network).items()}
    return {
        "epoch": 10,
        "state_dict": {prefix + key: value for key, value in {**entries, **HEADS}.items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
        "args": argparse.Namespace(logdir="runs", lr=4e-4),
        "best": np.float64(0.5),
    }


def test_into_swin_unetr_as_monai_itself_does(tmp_path, source):
    torch.save(published(source), tmp_path / "model_swinvit.pt")
    ours, theirs = (SwinUNETR(in_channels=1, out_channels=5, feature_size=12) for _ in range(2))
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    report = load_pretrained(ours, tmp_path / "model_swinvit.pt")
    assert report.complete and set(report.dropped) == {f"module.{key}" for key in HEADS}
    theirs.load_from(published(source))
    for key, value in theirs.state_dict().items():
        if key.startswith("swinViT."):
            assert torch.equal(ours.state_dict()[key], value), key
        else:
            assert key in report.fresh and torch.equal(ours.state_dict()[key], before[key])
    assert f"{len(report.fresh)} left newly initialised (encoder1." in str(report)
    with pytest.raises(CheckpointError, match="missing in the file .encoder1"):
        load_pretrained(ours, tmp_path / "model_swinvit.pt", skip_head="never")


@pytest.mark.parametrize("prefix", ["", "module.swin_vit.", "swinViT.", "module.swinViT."])
def test_the_forms_that_pre_training_writes(tmp_path, source, prefix):
    content = published(source)
    bare = {key.removeprefix("module."): value for key, value in content["state_dict"].items()}
    wrapper = "module." if prefix.startswith("module.") else ""
    entries = {(wrapper if key in HEADS else prefix) + key: value for key, value in bare.items()}
    torch.save({"state_dict": entries}, tmp_path / "o.pt")
    loaded = load_published(tmp_path / "o.pt")
    assert loaded.state_dict.keys() == {f"swinViT.{key}" for key in transformer(source)}


def test_four_channels_give_what_one_gave(tmp_path, source):
    torch.save(published(source), tmp_path / "o.pt")
    network = SwinUNETR(in_channels=4, out_channels=3, feature_size=12).eval()
    load_pretrained(network, tmp_path / "o.pt", inflate_input=True)
    x = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        for ours, theirs in zip(network.swinViT(x.expand(-1, 4, -1, -1, -1)), source.swinViT(x), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-4)


def test_a_part_is_missing_or_of_another_size(tmp_path, source):
    content = published(source)
    del content["state_dict"]["module.layers3.0.blocks.1.attn.qkv.weight"]
    torch.save(content, tmp_path / "o.pt")
    with pytest.raises(CheckpointError, match="o.pt: must be a whole .*swinViT.layers3.0.blocks.1.attn.qkv.weight"):
        load_published(tmp_path / "o.pt")
    with pytest.raises(CheckpointError, match="of another shape"):
        load_pretrained(SwinUNETR(in_channels=1, out_channels=2, feature_size=24), published(source))


@pytest.mark.parametrize(("prefix", "decoder"), [("", False), ("", True), ("module.backbone.", False)])
def test_voco(tmp_path, prefix, decoder):
    torch.manual_seed(1)
    whole = SwinUNETR(in_channels=1, out_channels=21, feature_size=12, use_v2=True)
    entries = {
        prefix + key: value
        for key, value in whole.state_dict().items()
        if decoder or not key.startswith(("decoder", "out."))
    }
    heads = {"module.student.layer1.0.weight": torch.zeros(2, 2)} if prefix else {}
    torch.save(entries | heads, tmp_path / "VoCo_B_SSL_head.pt")
    loaded = load_published(tmp_path / "VoCo_B_SSL_head.pt")
    assert loaded.report.layout == "VoCo" and loaded.report.dropped == tuple(heads)
    network = SwinUNETR(in_channels=1, out_channels=3, feature_size=12, use_v2=True)
    report = load_pretrained(network, tmp_path / "VoCo_B_SSL_head.pt")
    fresh = {key.partition(".")[0] for key in report.fresh}
    assert report.complete and fresh == ({"out"} if decoder else {"out", *(f"decoder{i}" for i in (1, 2, 3, 4, 5))})
    state = network.state_dict()
    assert all(torch.equal(state[key], whole.state_dict()[key]) for key in report.matched)
    assert (
        "encoder10.layer.conv1.conv.weight" in report.matched and "swinViT.layers4c.0.layer.conv2.conv.weight" in state
    )
    with pytest.raises(CheckpointError, match="unknown to the network .swinViT.layers1c"):
        load_pretrained(SwinUNETR(in_channels=1, out_channels=3, feature_size=12), tmp_path / "VoCo_B_SSL_head.pt")
