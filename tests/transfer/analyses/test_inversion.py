"""Reconstructions from features: an encoder that can be inverted is, in 2D and 3D."""

import json

import numpy as np
import pytest
import torch
from helpers.study_sets import column_encoder, write_images
from PIL import Image
from torch import nn

from medgenesis.networks import ResNet25D, SkipGenerator, network_parts
from medgenesis.transfer.analyses.inner_features import InnerFeatures
from medgenesis.transfer.analyses.inversion import Inversion, invert
from medgenesis.transfer.analyses.likeness import likeness
from medgenesis.transfer.controls import control
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.questions.inversion import ask_inversion, drawn_pair, shown_whole
from medgenesis.transfer.study_set import open_study_set

QUICK = Inversion(steps=20, rate=2e-2)


def identity(dims, side):
    return Encoder("identity", lambda batch: batch, dims, 1, (side,) * dims, told={"function": "identity"})


def two_halves(*sides):
    image = torch.full((1, *sides), 0.2)
    image[:, :, sides[1] // 2 :] = 0.8
    return image


@pytest.mark.parametrize("sides", [(32, 40), (16, 16, 16)])
def test_the_image_of_an_invertible_encoder_comes_back(sides):
    image = two_halves(*sides)
    found = invert(identity(len(sides), sides[0]), image, QUICK)
    assert (
        found.image.shape == image.shape and likeness(image.numpy(), found.image.numpy())["mse"] < 0.02
    )  # a constant has 0.09
    error = float(((found.image - image) ** 2).mean() / (image**2).mean())
    assert found.feature_error == pytest.approx(error, rel=1e-4) and found.losses[-1][0] == 20


def test_of_what_features_do_not_tell_nothing_comes_back():
    blind = Encoder("blind", lambda batch: batch[..., :16].flatten(1), 2, 1, (32, 32))
    other = two_halves(32, 32)
    other[..., 16:] = 0.4
    images = [invert(blind, one, Inversion(steps=3)).image for one in (two_halves(32, 32), other)]
    assert (images[0] == images[1]).all()  # nor does chance differ from run to run


def test_the_generator_is_the_studys():
    generator = SkipGenerator()
    assert sum(weight.numel() for weight in generator.parameters()) == 2_606_763
    with pytest.raises(ValueError, match="^dims, scales: must be 2 or 3"):
        SkipGenerator(scales=7)


def test_mse_and_ssim_are_what_they_are_called():
    generator = np.random.default_rng(0)
    one, other = generator.random((2, 1, 7, 7))
    mean, variance = one.mean() * other.mean(), one.var(ddof=1) + other.var(ddof=1)
    covariance = np.cov(one.ravel(), other.ravel())[0, 1]
    c1, c2 = 0.01**2, 0.03**2  # a window of 7 x 7 is the whole image
    expected = (2 * mean + c1) * (2 * covariance + c2)
    expected /= (one.mean() ** 2 + other.mean() ** 2 + c1) * (variance + c2)
    found = likeness(one, other)
    assert found["ssim"] == pytest.approx(expected) and found["mse"] == pytest.approx(((one - other) ** 2).mean())
    volume = generator.random((2, 9, 8, 7))
    assert likeness(volume, volume) == {"mse": 0, "ssim": pytest.approx(1)}
    with pytest.raises(ValueError, match="^images: must be of one shape"):
        likeness(one, other[:, :5])


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.second = nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(2, 3, 1)

    def forward(self, x):
        shallow = self.act(self.first(x) - 0.5)
        return [shallow, self.second(shallow)]


def test_any_layer_can_be_asked_and_nothing_is_changed_in_place():
    network = Small()
    encoder, batch = Encoder("small", network, 2, 1, (8, 8)), torch.rand(2, 1, 8, 8)
    maps = network(batch)
    for layer, expected in ((None, maps[1]), ("1", maps[0]), ("2", maps[1]), ("pooled", maps[1].mean((2, 3)))):
        assert torch.allclose(InnerFeatures(encoder, layer)(batch), expected)
    assert torch.allclose(InnerFeatures(encoder, "first")(batch), network.first(batch))
    assert network.act.inplace and all(weight.requires_grad for weight in network.parameters())
    with pytest.raises(ValueError, match="^layer: must be pooled, the number of a map or one of first, act, second"):
        InnerFeatures(encoder, "third")
    with pytest.raises(ValueError, match="^layer: must be 1 to 2, the maps of small; found 3"):
        InnerFeatures(encoder, "3")(batch)


def test_compat_passes_over_the_input_normalisation():
    plain, seen = (ResNet25D("resnet18_w8", 3, input_normalisation=one) for one in ("none", "imagenet"))
    seen.load_state_dict(plain.state_dict())
    batch = torch.rand(1, 3, 32, 32)
    one, other = (Encoder("e", network_parts(net).encoder, 2, 3, (32, 32)) for net in (plain, seen))
    assert torch.allclose(InnerFeatures(other, compat=True)(batch), InnerFeatures(one)(batch))
    assert not torch.allclose(InnerFeatures(other)(batch), InnerFeatures(one)(batch))


def test_what_cannot_be_inverted_is_told():
    image = two_halves(32, 32)
    with pytest.raises(ValueError, match=r"^image: must have sides of 32 or more, to be inverted; found \(16, 32\)"):
        invert(identity(2, 32), image[:, :16], QUICK)
    with pytest.raises(ValueError, match="^steps, rate: must be at least 1"):
        invert(identity(2, 32), image, Inversion(steps=0))
    steps = Encoder("steps", lambda batch: (batch > 0.5).float(), 2, 1, (32, 32))
    with pytest.raises(ValueError, match="^steps: its features must have a gradient"):
        invert(steps, image, QUICK)
    infinite = Encoder("infinite", lambda batch: batch / 0, 2, 1, (32, 32))
    with pytest.raises(ValueError, match="^image: its features must be finite"):
        invert(infinite, image, QUICK)


def test_a_loss_that_is_not_finite_keeps_the_best_image(caplog):
    calls = []

    def breaks(batch):
        calls.append(1)
        return batch * (float("nan") if len(calls) == 4 else 1)

    found = invert(Encoder("breaks", breaks, 2, 1, (32, 32)), two_halves(32, 32), QUICK)
    assert "the loss is nan at step 3: the best image so far is kept" in caplog.text
    assert torch.isfinite(found.image).all() and found.image.std() > 0


def test_a_question_keeps_pairs_and_pictures(tmp_path):
    study_set = open_study_set(str(write_images(tmp_path, per_class=5)), tmp_path)
    figures = ask_inversion(column_encoder(), study_set, Inversion(steps=2), tmp_path / "study", images=2)
    (path,) = (tmp_path / "study" / "results" / "inversion").glob("*.json")
    place = tmp_path / "study" / "inversion" / path.stem
    result = json.loads(path.read_text())
    assert len(result["each"]) == 2 and result["settings"]["steps"] == 2
    with np.load(place / "002.npz") as pair:
        assert result["each"][1]["mse"] == pytest.approx(((pair["original"] - pair["reconstruction"]) ** 2).mean())
    assert Image.open(place / "001.png").size == (32 + 4 + 32, 32)
    assert figures["mse"]["low"] <= figures["mse"]["value"] <= figures["mse"]["high"]
    with pytest.raises(ValueError, match="^table: must see images"):
        ask_inversion(control("table"), study_set, QUICK, tmp_path)


def test_each_encoder_is_shown_a_whole_image_at_once():
    volume = torch.rand(1, 20, 24, 30)
    assert shown_whole(identity(3, 16), volume, "v")[1].shape == (1, 16, 16, 16)
    slab = Encoder("slab", lambda batch: batch, 2, 3, (32, 32))
    shown = shown_whole(slab, volume, "v")[1]
    assert shown.shape == (3, 32, 32)
    assert shown_whole(control("pixels"), torch.rand(1, 50, 40), "p")[1].shape == (1, 224, 224)
    pair = {"original": volume.numpy(), "reconstruction": volume.numpy()}
    assert drawn_pair(pair, slab=False).dtype == np.uint8
    assert drawn_pair({name: shown.numpy() for name in pair}, slab=True).shape == (32, 68, 3)
