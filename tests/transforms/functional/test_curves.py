"""The Bezier map against the curve itself, also where it is vertical."""

import itertools

import numpy as np
import pytest
import torch

from medgenesis.errors import VolumeError
from medgenesis.transforms.functional import bezier_map


def curve(points, t):
    """x(t) and y(t) by de Casteljau's construction."""
    row = [np.zeros((2, 1)) + p for p in (np.zeros((2, 1)), points[0][:, None], points[1][:, None], np.ones((2, 1)))]
    while len(row) > 1:
        row = [(1 - t) * a + t * b for a, b in itertools.pairwise(row)]
    return row[0]


def exact(points, at, decreasing):
    """y where x(t) = at, by bisection in double precision."""
    low, high = np.zeros_like(at), np.ones_like(at)
    for _ in range(60):
        middle = (low + high) / 2
        below = curve(points, middle)[0] < at
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    t = (low + high) / 2
    return curve(points, 1 - t if decreasing else t)[1]


ADVERSARIAL = [
    [[0.999, 0.5], [0.001, 0.5]],
    [[1, 0.5], [0, 0.5]],
    [[1e-9, 1], [1e-9, 1]],
    [[1 - 1e-6, 0.2], [1e-6, 0.9]],
]
ADVERSARIAL += [[corner[:2], corner[2:]] for corner in itertools.product([0.0, 1.0], repeat=4)]


@pytest.mark.parametrize("decreasing", [False, True])
@pytest.mark.parametrize("points", ADVERSARIAL)
def test_steep_curves_agree_with_a_million_points(points, decreasing):
    points = np.array(points, dtype=float)
    x, y = curve(points, np.linspace(0, 1, 10**6))
    y = y[::-1] if decreasing else y
    rng = np.random.default_rng(0)
    at = np.concatenate([rng.random(5000), x[rng.integers(10**6, size=5000)], [0, 1, 0.5]]).astype(np.float32)
    mapped = bezier_map(torch.from_numpy(at)[None, None], torch.from_numpy(points)[None], torch.tensor([decreasing]))
    assert np.abs(mapped[0, 0].double().numpy() - np.interp(at.astype(float), x, y)).max() <= 1e-4


def test_random_curves_are_within_1e_4_where_they_are_steepest():
    rng = np.random.default_rng(1)
    for _ in range(1500):
        points, t, decreasing = rng.random((2, 2)), rng.random(300), bool(rng.integers(2))
        if rng.random() < 0.3:  # near the corners, where tangents are vertical
            points[:, 0] = np.abs(rng.integers(0, 2, 2) - rng.random(2) ** 8)
        at, expected = curve(points, t)[0], curve(points, 1 - t if decreasing else t)[1]
        volume, falls = torch.from_numpy(at)[None, None], torch.tensor([decreasing])
        mapped = bezier_map(volume, torch.from_numpy(points)[None], falls)
        assert np.abs(mapped[0, 0].numpy() - expected).max() <= 1e-4, (points, decreasing)


@pytest.mark.parametrize("decreasing", [False, True])
def test_other_ranges_hold_the_same_precision(decreasing):
    rng = np.random.default_rng(2)
    at = rng.uniform(-1000, 1000, 3000).astype(np.float32)
    for points in [np.array(p, float) for p in ADVERSARIAL[:4]] + list(rng.random((20, 2, 2))):
        mapped = bezier_map(
            torch.from_numpy(at)[None, None], torch.from_numpy(points)[None], torch.tensor([decreasing]), (-1000, 1000)
        )
        expected = exact(points, (at.astype(float) + 1000) / 2000, decreasing) * 2000 - 1000
        assert np.abs(mapped[0, 0].double().numpy() - expected).max() <= 1e-4 * 2000


def test_a_straight_curve_is_the_identity_and_falls_to_its_mirror_image():
    volume = torch.rand(2, 3, 5, 4)
    points = torch.tensor([[[1 / 3, 1 / 3], [2 / 3, 2 / 3]]]).expand(2, 2, 2)
    mapped = bezier_map(volume, points, torch.tensor([False, True]))
    torch.testing.assert_close(mapped[0], volume[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(mapped[1], 1 - volume[1], atol=1e-6, rtol=0)


def test_each_cube_of_a_batch_has_its_own_curve_and_order_is_kept_or_reversed():
    volume = torch.rand(4, 2, 6, 6, 6)
    points, falls = torch.rand(4, 2, 2), torch.tensor([True, False, True, False])
    mapped = bezier_map(volume, points, falls)
    for b in range(4):
        torch.testing.assert_close(
            mapped[b : b + 1], bezier_map(volume[b : b + 1], points[b : b + 1], falls[b : b + 1])
        )
        steps = mapped[b].flatten()[volume[b].flatten().argsort()].diff()
        assert (steps <= 1e-6).all() if falls[b] else (steps >= -1e-6).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_and_input_are_kept(dtype):
    volume = torch.rand(1, 1, 4, 4).to(dtype)
    before = volume.clone()
    mapped = bezier_map(volume, torch.rand(1, 2, 2), torch.tensor([False]))
    assert mapped.dtype == dtype and torch.equal(volume, before) and mapped.data_ptr() != volume.data_ptr()


def test_one_curve_a_cube_is_demanded():
    with pytest.raises(VolumeError, match="one curve a cube"):
        bezier_map(torch.rand(2, 1, 4, 4), torch.rand(1, 2, 2), torch.tensor([True]))
