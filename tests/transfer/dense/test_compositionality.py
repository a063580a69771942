"""Compositionality where the answer is known, and against a loop."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medgenesis.transfer import DenseEmbedder, measure_compositionality


class Constant(nn.Module):
    def forward(self, x):
        return torch.tensor([[1.0, 2.0, 3.0]]).expand(len(x), 3)


class Mean(nn.Module):
    """Features that add up: the mean of halves is that of the whole."""

    def forward(self, x):
        return x.mean(dim=(2, 3))


class Spread(nn.Module):
    """Features that do not."""

    def forward(self, x):
        return torch.stack([x.mean(dim=(1, 2, 3)), x.std(dim=(1, 2, 3)), x.amax(dim=(1, 2, 3))], dim=1)


def images(count=3):
    torch.manual_seed(1)
    return [torch.rand(2, 30 + 2 * i, 40) * torch.tensor([1.0, i + 0.1])[:, None, None] for i in range(count)]


def test_constant_features_compose_and_say_nothing():
    for row in measure_compositionality(DenseEmbedder(Constant(), 12), images(), patches=30).values():
        assert row["mean"] == pytest.approx(1) and row["median"] == pytest.approx(1)
        assert row["sd"] == pytest.approx(0, abs=1e-6) and row["difference"] == pytest.approx(0, abs=1e-6)


def test_features_that_add_up_compose_and_tell_images_apart():
    found = measure_compositionality(DenseEmbedder(Mean(), 12), images(), patches=30)
    assert list(found) == [2, 3, 4]
    for row in found.values():  # 12 divides by 2 and 3, and so do the areas
        assert row["mean"] == pytest.approx(1, abs=2e-3) and row["difference"] > 0.05


def test_against_a_loop():
    some, embedder, rng = images(), DenseEmbedder(Spread(), 14, 10), np.random.default_rng(5)
    found = measure_compositionality(embedder, some, patches=7, seed=5)
    wholes = []
    for number in range(9):  # as many of each image, at least 7 together
        image = some[number % 3]
        row, column = (int(rng.integers(0, side - 13)) for side in image.shape[1:])
        wholes.append(image[:, row : row + 14, column : column + 14])

    def embed(patch):
        return Spread()(F.interpolate(patch[None], (10, 10), mode="bilinear", antialias=True))[0]

    cuts = {
        2: [(slice(0, 14), slice(0, 7)), (slice(0, 14), slice(7, 14))],
        3: [(slice(a, b), slice(0, 14)) for a, b in ((0, 5), (5, 10), (10, 14))],
        4: [(slice(a, a + 7), slice(b, b + 7)) for a in (0, 7) for b in (0, 7)],
    }
    for count, parts in cuts.items():
        means = [torch.stack([embed(whole[:, r, c]) for r, c in parts]).mean(0) for whole in wholes]
        own = [F.cosine_similarity(embed(w), m, dim=0).item() for w, m in zip(wholes, means, strict=True)]
        other = [F.cosine_similarity(embed(wholes[i]), means[i - 1], dim=0).item() for i in range(9)]
        wanted = {
            "mean": np.mean(own), "sd": np.std(own, ddof=1), "q25": np.percentile(own, 25),
            "median": np.median(own), "q75": np.percentile(own, 75), "unrelated": np.mean(other),
            "difference": np.mean(own) - np.mean(other),
        }  # fmt: skip
        assert found[count] == pytest.approx(wanted, abs=1e-5)


def test_unrelated_parts_are_never_of_the_same_image():
    """One channel an image: whole and parts of two images are at right angles."""
    flat = [torch.stack([torch.full((20, 20), float(i == j)) for j in range(4)]) for i in range(4)]
    for row in measure_compositionality(DenseEmbedder(Mean(), 8), flat, patches=10).values():
        assert row["mean"] == pytest.approx(1) and row["unrelated"] == pytest.approx(0)


@pytest.mark.parametrize(("some", "patches"), [(images(1), 10), (images(), 0), ([torch.rand(1, 8, 40)] * 2, 10)])
def test_what_cannot_be_cut(some, patches):
    with pytest.raises(ValueError, match="images: must be two or more"):
        measure_compositionality(DenseEmbedder(Mean(), 12), some, patches=patches)
