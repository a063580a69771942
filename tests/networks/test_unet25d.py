"""The 2.5D U-Net: its size, its parts, its initial weights, and what it refuses.

That it computes what the published layout computes is tested in tests/weights/layouts/test_smp_unet.py.
"""

import pytest
import torch

from medgenesis.networks import EncoderClassifier, UNet25D, network_parts


def test_published_size():
    with torch.device("meta"):
        network = UNet25D()
    assert len(network.state_dict()) == 380
    assert sum(p.numel() for p in network.parameters()) == 32_521_105


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121"])
def test_shapes(name):
    network = UNet25D(name, slices=5, out_channels=2)
    x = torch.rand(2, 5, 64, 96)
    logits = network(x)
    assert logits.shape == (2, 2, 64, 96)
    logits.sum().backward()
    assert [key for key, p in network.named_parameters() if p.grad is None] == []
    maps = network.encoder(x)
    assert tuple(m.shape[1] for m in maps) == network.encoder.feature_channels and len(maps) == 5


def test_it_is_head_of_decoder_of_encoder():
    network = UNet25D("resnet18", activation="sigmoid").eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        restored, logits = network(x), network.head.conv(network.decoder(network.encoder(x)))
    assert torch.allclose(restored, 1 / (1 + torch.exp(-logits)))


def test_initial_weights_of_decoder_and_head():
    """Uniform within the bounds of Kaiming (fan-in, ReLU: sqrt(6 / fan-in)) and Xavier (sqrt(6 / (in + out)))."""
    torch.manual_seed(0)
    network = UNet25D("resnet18", out_channels=1)
    convolutions = [m for m in network.decoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 10
    for module in convolutions:
        bound, weight = (6 / module.weight[0].numel()) ** 0.5, module.weight.detach()
        assert 0.98 * bound < weight.abs().max() <= bound
        assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.05) and module.bias is None
    bound = (6 / (16 * 9 + 9)) ** 0.5
    assert 0.8 * bound < network.head.conv.weight.abs().max() <= bound and not network.head.conv.bias.any()


def test_parts():
    network = UNet25D("resnet18").eval()
    parts = network_parts(network)
    assert parts.encoder is network.encoder and parts.heads == ("head",)
    seen = []
    parts.last_stage.register_forward_hook(lambda _, args, out: seen.append(out))
    network.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0][-1]))
    classifier = EncoderClassifier(network, 3, hidden=None).eval()
    with torch.no_grad():
        network(torch.rand(1, 3, 64, 64))
        assert seen[0] is seen[1]
        assert classifier(torch.rand(1, 3, 64, 64)).shape == (1, 3)
    assert all(key.startswith(("encoder.", "head.")) for key in classifier.state_dict())


def test_head_is_all_that_depends_on_the_number_of_outputs():
    with torch.device("meta"):
        one, three = (UNet25D("resnet18", out_channels=n).state_dict() for n in (1, 3))
    assert {key for key in one if one[key].shape != three[key].shape} == {"head.conv.weight", "head.conv.bias"}


@pytest.mark.parametrize(("size", "words"), [(100, "found 100. Use 96 or 128"), (16, "Use 32 or 64"), (0, "Use 32 or")])
def test_a_size_that_does_not_divide_is_known_before_any_slab(size, words):
    with pytest.raises(ValueError, match=f"size: must divide by 32.*{words}"):
        UNet25D("resnet18", size=size)
    with torch.device("meta"):
        UNet25D("resnet18", size=96)


def test_sides_that_do_not_divide():
    with pytest.raises(ValueError, match=r"divide by 32; found \(64, 70\).*to \(64, 96\)"):
        UNet25D("resnet18")(torch.zeros(2, 3, 64, 70))
    with pytest.raises(ValueError, match="sides of 32 pixels or more; found"):
        UNet25D("resnet18")(torch.zeros(2, 3, 0, 64))
