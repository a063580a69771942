"""Checkpoints of nnssl: the residual encoder by its plan, every tensor once; also into the network of its package."""

import pytest
import torch

from medgenesis.errors import CheckpointError
from medgenesis.weights import load_published
from medgenesis.weights.contents import tensors_of
from medgenesis.weights.layouts import nnssl

BLOCKS, FEATURES = (1, 3, 4, 6, 6, 6), (32, 64, 128, 256, 320, 320)
PLAN = {
    "architecture_plans": {"arch_class_name": "ResEncL", "arch_kwargs": None},
    "pretrain_plan": {"configurations": {"onemmiso": {"patch_size": [160, 160, 160], "spacing": [1, 1, 1]}}},
    "pretrain_num_input_channels": 1,
    "recommended_downstream_patchsize": [160, 160, 160],
    "key_to_encoder": "encoder.stages",
    "key_to_stem": "encoder.stem",
    "keys_to_in_proj": ["encoder.stem.convs.0.conv", "encoder.stem.convs.0.all_modules.0"],
    "key_to_lpe": None,
}


def encoder_weights():
    """Values that take no space, under the keys of the encoder, written from its description."""
    weights = {}

    def convolution(key, out, inside, kernel, bias=True):
        shapes = {"conv.weight": (out, inside, *kernel), "norm.weight": (out,), "norm.bias": (out,)}
        shapes |= {"conv.bias": (out,)} if bias else {}
        for name, shape in shapes.items():
            value = torch.tensor(float(len(weights) + 1)).expand(shape)
            again = name.replace("conv.", "all_modules.0.").replace("norm.", "all_modules.1.")
            weights[f"{key}.{name}"] = weights[f"{key}.{again}"] = value

    convolution("encoder.stem.convs.0", 32, 1, (3, 3, 3))
    inside = 32
    for stage, (count, out) in enumerate(zip(BLOCKS, FEATURES, strict=True)):
        for block in range(count):
            key = f"encoder.stages.{stage}.blocks.{block}"
            convolution(f"{key}.conv1", out, inside, (3, 3, 3))
            convolution(f"{key}.conv2", out, out, (3, 3, 3))
            if inside != out:
                convolution(f"{key}.skip.1", out, inside, (1, 1, 1), bias=False)
            inside = out
    return weights


def checkpoint(encoder="encoder", plan=PLAN):
    entries = {encoder + key.removeprefix("encoder"): value for key, value in encoder_weights().items()}
    again = {f"decoder.{key}": value for key, value in entries.items()} if encoder == "encoder" else {}
    decoder = {"decoder.stages.0.convs.0.conv.weight": torch.zeros(2)}
    return {"network_weights": {**entries, **again, **decoder}, "nnssl_adaptation_plan": plan, "citations": ["a"]}


def test_by_its_plan(tmp_path):
    torch.save(checkpoint(), tmp_path / "checkpoint_final.pth")
    loaded = load_published(tmp_path / "checkpoint_final.pth")
    once = {key: value for key, value in encoder_weights().items() if "all_modules" not in key}
    assert loaded.report.layout == "nnssl" and loaded.state_dict.keys() == once.keys()
    assert all(torch.equal(loaded.state_dict[key], once[key]) for key in once)
    assert "decoder.stages.0.convs.0.conv.weight" in loaded.report.dropped


def test_keys_of_another_trainer():
    plan = {**PLAN, "key_to_encoder": "online_encoder.stages", "key_to_stem": "online_encoder.stem"}
    content = checkpoint("online_encoder", plan)
    found = tensors_of(content, "o.pth")
    assert nnssl.nnssl_keys(found).keys() == {key for key in encoder_weights() if "all_modules" not in key}


def test_without_a_plan_by_its_keys(tmp_path):
    torch.save({"network_weights": checkpoint()["network_weights"]}, tmp_path / "o.pth")
    assert load_published(tmp_path / "o.pth").report.layout == "nnssl"


def test_not_whole_or_a_transformer(tmp_path):
    content = checkpoint()
    content["network_weights"] = {
        key: value for key, value in content["network_weights"].items() if ".stages.3.blocks.5." not in key
    }
    torch.save(content, tmp_path / "o.pth")
    with pytest.raises(CheckpointError, match="o.pth: must be a whole .*8 missing .*encoder.stages.3.blocks.5.conv1"):
        load_published(tmp_path / "o.pth")
    plan = {**PLAN, "architecture_plans": {"arch_class_name": "PrimusM"}, "key_to_encoder": "eva"}
    torch.save(
        {"network_weights": {"eva.pos_embed": torch.zeros(2)}, "nnssl_adaptation_plan": plan}, tmp_path / "p.pth"
    )
    with pytest.raises(CheckpointError, match="p.pth: .*found a checkpoint of nnssl with PrimusM"):
        load_published(tmp_path / "p.pth")


def test_into_the_network_of_dynamic_network_architectures():
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    from torch import nn

    from medgenesis.weights import load_pretrained

    def build(channels, classes):
        strides = [[1] * 3] + [[2] * 3] * 5
        return unet.ResidualEncoderUNet(
            channels, 6, FEATURES, nn.Conv3d, [[3] * 3] * 6, strides, BLOCKS, classes, [1] * 5, True,
            nn.InstanceNorm3d, {"eps": 1e-5, "affine": True}, None, None, nn.LeakyReLU, {"inplace": True},
        )  # fmt: skip

    source, target = build(1, 1), build(2, 4)
    content = {"network_weights": source.state_dict(), "nnssl_adaptation_plan": PLAN}
    report = load_pretrained(target, content, head="decoder.seg_layers", inflate_input=True)
    assert report.complete and all(key.startswith("decoder.") for key in report.fresh)
    ours, theirs = target.encoder.state_dict(), source.encoder.state_dict()
    stem = [key for key in ours if key.startswith("stem.") and ours[key].ndim == 5]
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if key not in stem)
    assert torch.allclose(ours[stem[0]], theirs[stem[0]].expand(-1, 2, -1, -1, -1) / 2)
