"""YNet3D: its published sizes, its two answers, and that it transfers as any encoder-decoder."""

import pytest
import torch

from medgenesis.inference import embed_volume
from medgenesis.networks import EncoderClassifier, PatternHead, UNet3D, YNet3D, network_parts

VARIANTS = pytest.mark.parametrize("decoder", [True, False])


def head_count(channels, classes):
    conv, norm, dense = 27 * channels * 2 * channels + 2 * channels, 4 * channels, 2 * channels * classes + classes
    return conv + norm + dense


def size(network):
    return sum(p.numel() for p in network.parameters())


def test_published_sizes():
    with torch.device("meta"):
        whole, encoder_only, encoder = YNet3D(), YNet3D(decoder=False), UNet3D().encoder
    assert size(whole) == 33_277_613 == 19_073_665 + head_count(512, 44)
    assert size(encoder_only) == 21_231_724 == size(encoder) + head_count(512, 44)


@pytest.mark.parametrize(
    ("channels", "classes", "norm"), [(8, 2, "batch"), (6, 50, "instance"), (4, 5, "batch_always")]
)
def test_pattern_head_by_its_formula(channels, classes, norm):
    torch.manual_seed(0)
    head = PatternHead(channels, classes, norm).eval()
    assert size(head) == head_count(channels, classes)
    x = torch.randn(2, channels, 3, 4, 2)
    if norm == "batch":
        head.norm.running_mean.uniform_()
        head.norm.running_var.uniform_(0.5, 2)
        mean, variance = (v.view(1, -1, 1, 1, 1) for v in (head.norm.running_mean, head.norm.running_var))
    with torch.no_grad():
        padded = torch.nn.functional.pad(x, [1] * 6)
        patches = padded.unfold(2, 3, 1).unfold(3, 3, 1).unfold(4, 3, 1)
        y = torch.einsum("bcxyzijk,ocijk->boxyz", patches, head.conv.weight) + head.conv.bias.view(1, -1, 1, 1, 1)
        if norm != "batch":
            over = (2, 3, 4) if norm == "instance" else (0, 2, 3, 4)
            mean, variance = y.mean(over, keepdim=True), y.var(over, keepdim=True, unbiased=False)
        y = ((y - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
        expected = y.flatten(2).mean(2) @ head.fc.weight.T + head.fc.bias
        assert torch.allclose(head(x), expected, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "instance", "batch_always"])
def test_the_head_for_slabs_is_that_for_volumes_one_voxel_thick(norm):
    torch.manual_seed(0)
    flat, deep = PatternHead(4, 3, norm, spatial_dims=2).eval(), PatternHead(4, 3, norm).eval()
    weights = flat.state_dict()
    kernel = torch.rand_like(deep.conv.weight)  # but for its middle it meets the padding alone
    kernel[..., 1] = weights["conv.weight"]
    deep.load_state_dict({**weights, "conv.weight": kernel})
    x = torch.randn(2, 4, 5, 6)
    with torch.no_grad():
        torch.testing.assert_close(flat(x), deep(x[..., None]))
    with pytest.raises(ValueError, match="spatial_dims: must be 3, or 2 for slabs; found 1"):
        PatternHead(4, 3, spatial_dims=1)


def test_fewer_than_two_classes_are_refused():
    with pytest.raises(ValueError, match="num_classes: must be at least 2; found 1"):
        YNet3D(width=2, num_classes=1)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_restoration_is_that_of_a_unet_and_logits_come_from_its_bottleneck_map(norm):
    settings = dict(in_channels=2, out_channels=3, width=2, norm=norm, activation=None)
    network, unet = YNet3D(num_classes=7, **settings).eval(), UNet3D(**settings).eval()
    own = {key: value for key, value in network.state_dict().items() if not key.startswith("classifier.")}
    unet.load_state_dict(own)  # the very same keys
    x = torch.rand(2, 2, 16, 24, 16)
    with torch.no_grad():
        restored, logits = network(x)
        assert restored.shape == (2, 3, 16, 24, 16) and logits.shape == (2, 7)
        assert torch.equal(restored, unet(x))
        assert torch.equal(logits, network.classifier(unet.encoder(x)[-1]))


def test_encoder_only():
    network, whole = YNet3D(width=2, num_classes=5, decoder=False), YNet3D(width=2, num_classes=5)
    keys = {key for key in whole.state_dict() if key.startswith(("encoder.", "classifier."))}
    assert network.state_dict().keys() == keys
    assert (network.restores, whole.restores) == (False, True)
    network.load_state_dict({key: whole.state_dict()[key] for key in keys})
    x = torch.rand(2, 1, 16, 16, 16)
    with torch.no_grad():
        restored, logits = network.eval()(x)
        assert restored is None
        assert torch.equal(logits, whole.eval()(x)[1])


@VARIANTS
def test_gradient_reaches_every_parameter(decoder):
    network = YNet3D(width=2, num_classes=3, decoder=decoder)
    restored, logits = network(torch.rand(2, 1, 16, 16, 16))
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward(retain_graph=True)
    assert all(p.grad is not None for p in (*network.encoder.parameters(), *network.classifier.parameters()))
    if decoder:
        assert all(p.grad is None for p in (*network.decoder.parameters(), *network.head.parameters()))
        restored.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_sides_as_in_unet3d():
    with pytest.raises(ValueError, match=r"\(16, 20, 16\).*pad_to_multiple=True"):
        YNet3D(width=2, num_classes=3)(torch.rand(2, 1, 16, 20, 16))
    network = YNet3D(width=2, num_classes=3, pad_to_multiple=True).eval()
    unet = UNet3D(width=2, pad_to_multiple=True).eval()
    unet.load_state_dict({key: network.state_dict()[key] for key in unet.state_dict()})
    x = torch.rand(1, 1, 17, 9, 16)
    with torch.no_grad():
        restored, logits = network(x)
        assert restored.shape == x.shape and torch.equal(restored, unet(x))
    assert logits.shape == (1, 3)


@VARIANTS
def test_transfers_as_any_encoder_decoder(decoder):
    network = YNet3D(width=2, num_classes=3, decoder=decoder).eval()
    parts = network_parts(network)
    assert parts.encoder is parts.last_stage is network.encoder
    assert parts.heads == (("head", "classifier") if decoder else ("classifier",))
    x = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        vector = network.encoder(x)[-1].mean((2, 3, 4))
        assert torch.allclose(EncoderClassifier(network, 2, hidden=None).embed(x), vector)
    assert torch.allclose(torch.from_numpy(embed_volume(network, x[0], (16, 16, 16))), vector[0], atol=1e-6)
