"""Landmarks sought by embeddings whose answers are known."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medgenesis.errors import VolumeError
from medgenesis.transfer import (
    DenseEmbedder,
    RawPixels,
    match_landmarks,
    measure_compositionality,
    same_position_baseline,
)
from medgenesis.transfer.dense.locality import embed_landmarks

pytestmark = pytest.mark.usefixtures("one_thread")


class Place(nn.Module):
    """A direction for each place: the window's middle holds x and y of the anatomy, in [0, 1]."""

    def forward(self, x):
        place = x[:, :, x.shape[2] // 2, x.shape[3] // 2] * torch.pi / 2
        return torch.cat([place.cos(), place.sin()], dim=1)


class Raw(nn.Module):
    def forward(self, x):
        return x.flatten(1)


class Same(nn.Module):
    def forward(self, x):
        return torch.ones(len(x), 4)


def body(shift, height=40, width=50):
    """An image that says where it is in an anatomy that lies `shift` (x, y) pixels further."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([(x - shift[0] + 10) / 70, (y - shift[1] + 10) / 60]).float()


SHIFTS = {"a": (0, 0), "b": (4, -3), "c": (-5, 6)}
IMAGES = {name: body(shift) for name, shift in SHIFTS.items()}
ANATOMY = {"carina": (25, 20), "apex": (12, 11), "angle": (40, 29)}
LANDMARKS = {
    name: {landmark: (float(x + dx), float(y + dy)) for landmark, (x, y) in ANATOMY.items()}
    for name, (dx, dy) in SHIFTS.items()
}


def test_an_encoder_that_knows_its_place_finds_every_landmark():
    found = match_landmarks(DenseEmbedder(Place(), 3), IMAGES, LANDMARKS, stride=1)
    assert found.images == ("a", "b", "c") and found.landmarks == ("carina", "apex", "angle")
    assert np.isnan(found.distances[np.eye(3, dtype=bool)]).all() and np.isfinite(found.distances).sum() == 18
    assert found.mean_distance == 0 and found.hit_rate(0) == 1 and found.by_landmark(0) == dict.fromkeys(ANATOMY, 1.0)


def test_landmarks_of_one_image_alone_are_counted(caplog):
    caplog.set_level("INFO")
    more = {**LANDMARKS, "a": {**LANDMARKS["a"], "spine": (3.0, 3.0)}}
    assert match_landmarks(DenseEmbedder(Place(), 3), IMAGES, more, stride=4).landmarks == tuple(ANATOMY)
    same_position_baseline(IMAGES, more)
    assert caplog.text.count("landmarks: 1 of 4 left out: one image alone has spine") == 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(25, 20), (0, 0)])
def test_features_that_are_not_finite_are_refused_by_the_image(value, place):
    """At a landmark, or where one is sought alone: such places became the answer, or searches were left out."""
    images = {**IMAGES, "b": IMAGES["b"].clone()}
    images["b"][0, place[1] - 3, place[0] + 4 if place[0] else 0] = value
    embedder = DenseEmbedder(Raw(), 3, batch_size=7)
    with pytest.raises(VolumeError, match="b: its features must be finite; found NaN or infinity"):
        match_landmarks(embedder, images, LANDMARKS, stride=1)
    with pytest.raises(VolumeError, match="b: its features"):
        embedder.map(images["b"], 1, "b")
    if place[0]:
        with pytest.raises(VolumeError, match="b: its features"):
            embed_landmarks(embedder, images, LANDMARKS)
    images["b"][:] = value
    for names, told in ((["a", "b", "c"], "b"), (None, "image 2")):
        with pytest.raises(VolumeError, match=f"{told}: its features"):
            measure_compositionality(DenseEmbedder(Raw(), 3), list(images.values()), names=names)


def test_a_coarse_grid_is_right_to_half_its_step():
    found = match_landmarks(DenseEmbedder(Place(), 3), IMAGES, LANDMARKS, stride=4)
    assert found.hit_rate(np.hypot(2, 2)) == 1 and found.mean_distance > 0


def test_constant_features_find_nothing():
    found = match_landmarks(DenseEmbedder(Same(), 3), IMAGES, LANDMARKS, stride=5)
    corner = np.array([2.0, 2.0])  # the first place of the grid is as good as any
    for target, name in enumerate(IMAGES):
        wanted = [np.hypot(*(np.array(place) - corner)) for place in LANDMARKS[name].values()]
        np.testing.assert_allclose(found.distances[target - 1, target], wanted)


def test_against_a_loop_over_all_places():
    torch.manual_seed(0)
    images = {name: F.avg_pool2d(torch.rand(1, 34, 30), 5, 1) for name in "xyz"}
    rng = np.random.default_rng(0)
    landmarks = {name: {mark: tuple(rng.uniform(2, 23, 2)) for mark in ("p", "q")} for name in images}
    del landmarks["y"]["q"]
    found = match_landmarks(DenseEmbedder(RawPixels(), 7, batch_size=17), images, landmarks, stride=3)

    def patch(image, x, y):
        padded = np.pad(image[0].numpy(), 7)
        top, left = int(np.floor(y - 2.5)) + 7, int(np.floor(x - 2.5)) + 7
        values = padded[top : top + 7, left : left + 7].ravel()
        return (values - values.mean()) / np.linalg.norm(values - values.mean())

    for i, a in enumerate(images):
        for j, b in enumerate(images):
            for k, mark in enumerate(("p", "q")):
                if i == j or mark not in landmarks[a] or mark not in landmarks[b]:
                    assert np.isnan(found.distances[i, j, k])
                    continue
                asked = patch(images[a], *landmarks[a][mark])
                grid = [(x, y) for y in range(29 % 3 // 2, 30, 3) for x in range(25 % 3 // 2, 26, 3)]
                best = max(grid, key=lambda place: asked @ patch(images[b], *place))
                assert found.distances[i, j, k] == pytest.approx(np.hypot(*np.subtract(best, landmarks[b][mark])))


def test_the_same_place_is_wrong_by_the_shift():
    found = same_position_baseline(IMAGES, LANDMARKS)
    np.testing.assert_allclose(found.distances[0, 1], [5.0] * 3)
    np.testing.assert_allclose(found.distances[1, 2], [np.hypot(9, 9)] * 3)
    assert np.isnan(found.distances[2, 2]).all()


def test_what_cannot_be_sought():
    embedder = DenseEmbedder(Place(), 3)
    with pytest.raises(ValueError, match="at least two"):
        match_landmarks(embedder, {"a": IMAGES["a"]}, LANDMARKS)
    with pytest.raises(ValueError, match="'d' without"):
        match_landmarks(embedder, {**IMAGES, "d": IMAGES["a"]}, LANDMARKS)
    with pytest.raises(ValueError, match="at least one must be in two"):
        match_landmarks(embedder, IMAGES, {name: {name: (1.0, 1.0)} for name in IMAGES})
