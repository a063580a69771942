"""nnU-Net v1's network as published, on MONAI's DynUNet: the same output as layer by layer, biases and all."""

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import DynUNet

from medgenesis.errors import CheckpointError
from medgenesis.weights import dynunet_settings, load_pretrained, load_published

POOLS = ((2, 2, 2), (2, 2, 2), (1, 2, 2))
WIDTHS = (4, 8, 16, 16)


def nnunet_weights(outputs=2, seed=0):
    """The published keys: two stacked convolutions a level, two stacks of one at the bottleneck and in the decoder."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}

    def block(key, inside, out):
        scale = (2 / (27 * inside)) ** 0.5
        weights[f"{key}.conv.weight"] = torch.randn(out, inside, 3, 3, 3, generator=generator) * scale
        weights[f"{key}.conv.bias"] = torch.randn(out, generator=generator)
        weights[f"{key}.instnorm.weight"] = torch.rand(out, generator=generator) + 0.5
        weights[f"{key}.instnorm.bias"] = torch.randn(out, generator=generator) * 0.1

    inside = 1
    for level, out in enumerate(WIDTHS):
        bottleneck = level == len(POOLS)
        for i in (0, 1):
            part = f"{i}.blocks.0" if bottleneck else f"blocks.{i}"
            block(f"conv_blocks_context.{level}.{part}", inside if i == 0 else out, out)
        inside = out
    for u, skip in enumerate(WIDTHS[-2::-1]):
        weights[f"tu.{u}.weight"] = torch.randn(inside, skip, *POOLS[-1 - u], generator=generator) * inside**-0.5
        block(f"conv_blocks_localization.{u}.0.blocks.0", 2 * skip, skip)
        block(f"conv_blocks_localization.{u}.1.blocks.0", skip, skip)
        weights[f"seg_outputs.{u}.weight"] = torch.randn(outputs, skip, 1, 1, 1, generator=generator)
        inside = skip
    return weights


def nnunet_output(weights, x):
    def block(key, x, stride=1):
        x = F.conv3d(x, weights[f"{key}.conv.weight"], weights[f"{key}.conv.bias"], stride=stride, padding=1)
        mean, var = x.mean((2, 3, 4), keepdim=True), x.var((2, 3, 4), unbiased=False, keepdim=True)
        scale, shift = (weights[f"{key}.instnorm.{name}"].view(1, -1, 1, 1, 1) for name in ("weight", "bias"))
        return F.leaky_relu((x - mean) / torch.sqrt(var + 1e-5) * scale + shift, 0.01)

    skips = []
    for level in range(len(WIDTHS)):
        parts = ("0.blocks.0", "1.blocks.0") if level == len(POOLS) else ("blocks.0", "blocks.1")
        for i, part in enumerate(parts):
            stride = POOLS[level - 1] if level > 0 and i == 0 else 1
            x = block(f"conv_blocks_context.{level}.{part}", x, stride)
        skips.append(x)
    skips.pop()
    for u in range(len(POOLS)):
        x = F.conv_transpose3d(x, weights[f"tu.{u}.weight"], stride=POOLS[-1 - u])
        x = torch.cat([x, skips.pop()], dim=1)
        x = block(f"conv_blocks_localization.{u}.1.blocks.0", block(f"conv_blocks_localization.{u}.0.blocks.0", x))
    return F.conv3d(x, weights[f"seg_outputs.{len(POOLS) - 1}.weight"])


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_same_output_as_the_published_network(tmp_path, prefix):
    weights = nnunet_weights()
    content = {"epoch": 3, "state_dict": {prefix + key: value for key, value in weights.items()}}
    torch.save({**content, "optimizer_state_dict": {"state": {}}}, tmp_path / "genesis_nnunet_luna16_006.model")
    loaded = load_published(tmp_path / "genesis_nnunet_luna16_006.model")
    network = DynUNet(**dynunet_settings(loaded.state_dict)).eval()
    report = load_pretrained(network, tmp_path / "genesis_nnunet_luna16_006.model", skip_head="never")
    # 14 biases before a norm and the outputs of two shallower decoder levels are dropped
    assert report.complete and len(report.dropped) == 14 + 2 and report.made == ("output_block.conv.conv.bias",)
    x = torch.rand(2, 1, 16, 16, 16)
    with torch.no_grad():
        expected = nnunet_output(weights, x)
        assert expected.std() > 0.01
        assert torch.allclose(network(x), expected, atol=1e-4 * expected.abs().max())


def test_the_head_of_another_task_starts_anew_and_more_channels_are_taken(tmp_path):
    weights = nnunet_weights()
    settings = dynunet_settings(load_published_content(tmp_path, weights))
    network = DynUNet(**{**settings, "in_channels": 4, "out_channels": 5})
    report = load_pretrained(network, weights, inflate_input=True)
    assert report.complete and report.fresh == ("output_block.conv.conv.weight", "output_block.conv.conv.bias")
    given = weights["conv_blocks_context.0.blocks.0.conv.weight"]
    assert torch.allclose(network.input_block.conv1.conv.weight, given.expand(-1, 4, -1, -1, -1) / 4)
    # the names that DynUNet has for the same tensors once more
    again = network.state_dict()["skip_layers.downsample.conv1.conv.weight"]
    assert torch.equal(again, network.input_block.conv1.conv.weight)


def load_published_content(folder, weights):
    torch.save(weights, folder / "g.model")
    return load_published(folder / "g.model").state_dict


@pytest.mark.parametrize(
    ("without", "words"),
    [
        ("conv_blocks_localization.1.0.blocks.0.conv.weight", "missing in the file .upsamples.1.conv_block.conv1"),
        ("conv_blocks_context.3.", "missing in the file"),
        ("seg_outputs.2.weight", "missing in the file"),
    ],
)
def test_a_file_that_is_not_whole(tmp_path, without, words):
    weights = {key: value for key, value in nnunet_weights().items() if not key.startswith(without)}
    torch.save({"state_dict": weights}, tmp_path / "g.model")
    with pytest.raises(CheckpointError, match=f"g.model: must be a whole published checkpoint.*{words}"):
        load_published(tmp_path / "g.model")
