"""How images reach an encoder's size."""

import pytest
import torch

from medgenesis.errors import VolumeError
from medgenesis.transfer.geometry import Geometry


def test_a_crop_keeps_proportions_and_the_middle():
    image = torch.zeros(1, 80, 40)
    image[:, 20:60] = 1  # the middle half of the longer side
    assert (Geometry("crop")(image, (40, 40), 3, 2, "a") == 1).all()
    squashed = Geometry("squash")(image, (40, 40), 1, 2, "a")[0, 0]
    assert squashed.shape == (40, 40) and squashed.mean() == pytest.approx(0.5, abs=0.02)
    assert squashed[:, 20].min() > 0.9 and squashed[:, 2].max() < 0.1  # rows first: x goes to columns


def test_the_studys_episode_geometry():
    image = torch.rand(1, 300, 200)
    sized = torch.nn.functional.interpolate(image[None].mT, (257, 257), mode="bilinear", antialias=True)
    assert torch.allclose(
        Geometry("episode")(image, (224, 224), 3, 2, "a")[0, 1], sized[0, 0, 16:240, 16:240], atol=1e-6
    )


def test_windows_are_the_volume():
    volume = torch.rand(1, 10, 8, 4)
    windows = Geometry("windows")(volume, (8, 8, 4), 1, 3, "a")
    assert windows.shape == (2, 1, 8, 8, 4) and torch.equal(windows[0], volume[:, :8])
    assert torch.equal(windows[1][:, :2], volume[:, 8:]) and windows[1][:, 2:].max() == 0


def test_slabs_are_neighbouring_slices_evenly_spaced():
    volume = torch.arange(8.0).expand(1, 5, 6, 8) / 8  # the value is the slice
    slabs = Geometry("whole", slabs=4)(volume, (), 3, 2, "a")
    assert slabs.shape == (4, 3, 6, 5)
    assert (slabs[:, :, 0, 0] * 8).tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6], [6, 7, 7]]


def test_what_an_encoder_cannot_see_is_refused():
    with pytest.raises(VolumeError, match=r"^a\.png: must be a volume, for the encoder is 3D; found a 2D image"):
        Geometry("crop")(torch.rand(1, 8, 8), (8, 8, 8), 1, 3, "a.png")
    with pytest.raises(VolumeError, match="must have as many channels as the encoder, 1; found 3"):
        Geometry("crop")(torch.rand(3, 8, 8), (8, 8), 1, 2, "a.png")
    with pytest.raises(ValueError, match="^geometry: must be one of"):
        Geometry("zoom")


@pytest.mark.parametrize("sides", [(31, 33), (224, 225), (1000, 333)])
@pytest.mark.parametrize("rule", ["crop", "squash", "episode"])
def test_the_size_is_always_that_asked_for(rule, sides):
    assert Geometry(rule)(torch.rand(1, *sides), (32, 48), 3, 2, "a").shape == (1, 3, 32, 48)
