"""ResNets whose name holds their width: the published ones with fewer channels, everywhere in proportion."""

import pytest
import torch

from medgenesis.networks import ResNet25D, UNet25D
from medgenesis.weights import initialise, load_published, unet25d_to_smp


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_channels_are_in_proportion(name):
    whole, narrow = ResNet25D(name).state_dict(), ResNet25D(f"{name}_w8").state_dict()
    assert whole.keys() == narrow.keys()
    for key, value in narrow.items():
        wanted = [side // 8 if side >= 64 else side for side in whole[key].shape]
        assert list(value.shape) == wanted, key
    assert ResNet25D(f"{name}_w8").out_channels == ResNet25D(name).out_channels // 8


def test_the_maps_have_the_channels_that_are_said():
    network = UNet25D("resnet18_w8", slices=3, out_channels=2).eval()
    maps = network.encoder(torch.rand(1, 3, 64, 64))
    assert tuple(one.shape[1] for one in maps) == network.encoder.feature_channels == (8, 8, 16, 32, 64)
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 2, 64, 64)


@pytest.mark.parametrize("name", ["densenet121_w8", "resnet18_w0", "resnet18_8", "resnet19"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="name: must be one of"):
        ResNet25D(name)


def test_narrow_weights_start_a_narrow_unet(tmp_path):
    """As Adam's `pretrained.pt` starts `finetune`; and back as the backbone of a U-Net."""
    backbone = ResNet25D("resnet18_w8").eval()
    network = initialise(UNet25D("resnet18_w8"), backbone.state_dict()).eval()
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(network.encoder(x)[-1], backbone.maps(x)[-1])
    again = initialise(ResNet25D("resnet18_w8"), network.state_dict()).eval()
    torch.testing.assert_close(again(x), backbone(x))


def test_a_narrow_unet_goes_out_and_comes_back(tmp_path):
    network = UNet25D("resnet18_w8").eval()
    torch.save({"state_dict": unet25d_to_smp(network.state_dict())}, tmp_path / "narrow.pth")
    loaded = load_published(tmp_path / "narrow.pth", network)
    assert loaded.report.complete
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in loaded.state_dict.items())
