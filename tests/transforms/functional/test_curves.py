"""The Bezier map against the curve itself, inverted by bisection: also where it is vertical, and on both backends."""

import itertools
import math

import numpy as np
import pytest
import torch

from medgenesis.errors import VolumeError
from medgenesis.transforms.functional import backend as dispatch
from medgenesis.transforms.functional import bezier_map
from medgenesis.transforms.functional.curves import bezier_curve

RANGES = [(0.0, 1.0), (-1000.0, 1000.0), (-0.1, 0.3), (-1e-4, 1.0)]


@pytest.fixture(params=["compiled", "torch"])
def backend(request, monkeypatch):
    """Which kernels serve tensors in the processor's memory."""
    if request.param == "torch":
        monkeypatch.setattr(dispatch, "_compiled", lambda: None)
    elif dispatch._compiled() is None:
        pytest.skip("numba is not there")
    return request.param


def curve(points, t):
    """x(t) and y(t), (2, B, V), of curves (B, 2, 2) by de Casteljau's construction."""
    row = [np.zeros((2, len(points), 1)), *points.transpose(1, 2, 0)[..., None], np.ones((2, len(points), 1))]
    while len(row) > 1:
        row = [(1 - t) * a + t * b for a, b in itertools.pairwise(row)]
    return row[0]


def exact(points, decreasing, at):
    """y where x(t) = at (B, V), by bisection in double precision."""
    low, high = np.zeros_like(at), np.ones_like(at)
    for _ in range(55):
        middle = (low + high) / 2
        below = curve(points, middle)[0] < at
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    t = (low + high) / 2
    return curve(points, np.where(decreasing[:, None], 1 - t, t))[1]


def inflections(points):
    """The x (B, 1) at which x(t) bends the other way, on the curve."""
    (x1, x2), third = points[:, :, :1].transpose(1, 0, 2), 1 + 3 * (points[:, :1, 0] - points[:, 1:, 0])
    return curve(points, np.clip((2 * x1 - x2) / np.where(third == 0, 1, third), 0, 1))[0]


def drawn(rng, count=25):
    """Curves (B, 2, 2) of all kinds, and whether they fall (B,): uniform, and vertical or nearly so somewhere."""
    near = 10.0 ** rng.uniform(-17, -0.5, (count, 2))
    flat, steep = rng.random((count, 2)), rng.integers(0, 2, (count, 2))
    inner = near[:, :1] * (1 + rng.normal(size=(count, 1)) * near[:, 1:])
    straight = np.clip(flat[:, :1] + 1 / 3 + near[:, :1] * rng.choice([-1, 1], (count, 1)), 0, 1)
    across = {
        "anywhere": flat,
        "at 0": near,
        "at 1": 1 - near,
        "at both ends": np.stack([near[:, 0], 1 - near[:, 1]], axis=1),
        "in the middle": np.hstack([1 - near[:, :1], np.clip(inner, 0, 1)]),
        "x(t) is a parabola, or almost": np.hstack([flat[:, :1], straight]),
    }
    points = [np.stack([x, y], axis=2) for x in across.values() for y in (rng.random((count, 2)), steep)]
    points.append(np.array(list(itertools.product([0.0, 1.0], repeat=4))).reshape(-1, 2, 2))
    points.append(np.array([[[0.999, 0.5], [0.001, 0.5]], [[1 / 3, 0.0], [2 / 3, 1.0]]]))
    points = np.concatenate(points)
    return points, rng.random(len(points)) < 0.5


def neighbours(values, low, high, count=3):
    """The next numbers that the type of `values` (B, 1) has, on both sides."""
    found = [values]
    for towards in (low, high):
        beside = values
        for _ in range(count):
            beside = np.nextafter(beside, values.dtype.type(towards))
            found.append(beside)
    return np.hstack(found)


def voxels(rng, points, value_range, dtype):
    """Intensities (B, V) where it matters: at steep places and next to them, next to the ends, and anywhere."""
    low, high = value_range
    turns, shape = inflections(points), (len(points), 40)
    distances = 10.0 ** rng.uniform(-17, 0, shape)
    fractions = [curve(points, rng.random(shape))[0], rng.random(shape), distances, 1 - distances]
    fractions += [turns + distances * rng.choice([-1, 1], shape)]
    at = (np.hstack(fractions) * (high - low) + low).astype(dtype)
    special = [np.broadcast_to(dtype(end), (len(points), 1)) for end in value_range]
    special.append((turns * (high - low) + low).astype(dtype))
    return np.hstack([at, *(neighbours(values, low, high) for values in special)]).clip(*map(dtype, value_range))


def mapped(points, decreasing, at, value_range=(0.0, 1.0)):
    """`bezier_map` of intensities (B, V), a curve each."""
    volume = torch.from_numpy(np.array(at))[:, None]
    return bezier_map(volume, torch.from_numpy(points), torch.from_numpy(decreasing), value_range)[:, 0].numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value_range", RANGES)
def test_every_curve_is_within_1e_4_of_the_exact_one_and_inside_the_range(value_range, dtype, backend):
    rng = np.random.default_rng(0)
    points, decreasing = drawn(rng)
    low, high = (float(dtype(end)) for end in value_range)
    at = voxels(rng, points, (low, high), dtype)
    found = mapped(points, decreasing, at, value_range)
    expected = exact(points, decreasing, (at.astype(float) - low) / (high - low))
    errors = np.abs((found.astype(float) - low) / (high - low) - expected).max(axis=1)
    assert errors.max() <= 1e-4, (errors.max(), points[errors.argmax()], decreasing[errors.argmax()])
    assert found.min() >= low and found.max() <= high


def test_most_curves_are_far_closer(backend):
    rng = np.random.default_rng(1)
    points, decreasing, at = rng.random((300, 2, 2)), rng.random(300) < 0.5, rng.random((300, 300))
    errors = np.abs(mapped(points, decreasing, at) - exact(points, decreasing, at)).max(axis=1)
    assert np.median(errors) <= 1e-6


@pytest.mark.parametrize("value_range", RANGES)
def test_both_backends_agree(value_range, monkeypatch):
    if dispatch._compiled() is None:
        pytest.skip("numba is not there")
    for dtype, tolerance in ((np.float32, 2e-6), (np.float64, 1e-7)):
        rng = np.random.default_rng(2)
        points, decreasing = drawn(rng)
        at = voxels(rng, points, value_range, dtype)
        compiled = mapped(points, decreasing, at, value_range)
        with monkeypatch.context() as patch:
            patch.setattr(dispatch, "_compiled", lambda: None)
            difference = np.abs(mapped(points, decreasing, at, value_range) - compiled).max()
        assert difference <= tolerance * (value_range[1] - value_range[0])


@pytest.mark.gpu
def test_a_gpu_gives_the_same_wherever_the_curves_are():
    rng = np.random.default_rng(2)
    points, decreasing = (torch.from_numpy(drawn) for drawn in drawn(rng))
    volume = torch.from_numpy(voxels(rng, points.numpy(), (0.0, 1.0), np.float32))[:, None]
    expected = bezier_map(volume, points, decreasing)
    for settings in ((points, decreasing), (points.cuda(), decreasing.cuda())):
        torch.testing.assert_close(bezier_map(volume.cuda(), *settings).cpu(), expected, atol=2e-6, rtol=0)


def test_each_cube_of_a_batch_is_mapped_as_if_alone(backend):
    points, decreasing = (torch.from_numpy(drawn) for drawn in drawn(np.random.default_rng(3), 2))
    volume = torch.rand(len(points), 2, 9, 7, 5, generator=torch.Generator().manual_seed(0))
    together = bezier_map(volume, points, decreasing)
    for b in range(len(points)):
        one = slice(b, b + 1)
        assert torch.equal(together[one], bezier_map(volume[one], points[one], decreasing[one]))


def test_order_is_kept_or_reversed(backend):
    rng = np.random.default_rng(4)
    points, decreasing = drawn(rng)
    at = np.sort(voxels(rng, points, (0.0, 1.0), np.float32), axis=1)
    steps = np.diff(mapped(points, decreasing, at), axis=1)
    assert (np.where(decreasing[:, None], -steps, steps) >= -1e-6).all()  # two halves of a table meet at 1/2


def test_ends_stay_or_change_places_and_what_lies_outside_becomes_them(backend):
    points, decreasing = drawn(np.random.default_rng(5))
    at = np.broadcast_to(np.float32([-1e30, -9, -3, 7, 7.5, 1e30]), (len(points), 6))
    found = mapped(points, decreasing, at, (-3, 7))
    below, above = np.where(decreasing[:, None], [7, -3], [-3, 7]).T[..., None]
    np.testing.assert_allclose(found, np.hstack([below.repeat(3, 1), above.repeat(3, 1)]), atol=1e-4 * 10)
    assert (found[:, :3] == found[:, 2:3]).all() and (found[:, 3:] == found[:, 3:4]).all()


def test_a_straight_curve_is_the_identity_and_falls_to_its_mirror_image(backend):
    volume = torch.rand(2, 3, 5, 4)
    points = torch.tensor([[[1 / 3, 1 / 3], [2 / 3, 2 / 3]]]).expand(2, 2, 2)
    found = bezier_map(volume, points, torch.tensor([False, True]))
    torch.testing.assert_close(found[0], volume[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1], 1 - volume[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_type_and_input_are_kept_whatever_the_layout(dtype, backend):
    points, decreasing = torch.rand(3, 2, 2, dtype=torch.float64), torch.tensor([False, True, False])
    plain = torch.rand(3, 2, 4, 6).to(dtype)
    for volume in (plain, plain.mT.contiguous().mT, plain[:1].expand(3, -1, -1, -1), plain.clone().requires_grad_()):
        before = volume.detach().clone()
        found = bezier_map(volume, points, decreasing)
        assert found.dtype == dtype and found.shape == volume.shape and not found.requires_grad
        assert torch.equal(volume, before) and torch.equal(found, bezier_map(before.contiguous(), points, decreasing))
        rounded = bezier_map(before.float(), points, decreasing).to(dtype)
        torch.testing.assert_close(found, rounded, atol=2e-6, rtol=0)


def peak(call):
    """Most bytes that torch held at a time for a call, its result included."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = call()
    changes = [event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    del result
    return max(itertools.accumulate(changes))


@pytest.mark.parametrize("value_range", RANGES[:2])
def test_temporary_memory_stays_within_six_times_the_batch(value_range, monkeypatch):
    monkeypatch.setattr(dispatch, "_compiled", lambda: None)
    volume, batch = torch.rand(4, 1, 64, 64, 32), 4 * 64 * 64 * 32 * 4
    points, decreasing = (torch.from_numpy(drawn[-4:]) for drawn in drawn(np.random.default_rng(6)))
    assert math.isclose(peak(lambda: [volume.clone() for _ in range(3)]), 3 * batch)  # the meter shows what is held
    assert batch <= peak(lambda: bezier_map(volume, points, decreasing, value_range)) <= 6 * batch


def test_points_of_a_curve_are_those_of_the_construction():
    points, t = np.random.default_rng(7).random((4, 2, 2)), np.linspace(0, 1, 11)
    for inner, (x, y) in zip(points, curve(points, t).transpose(1, 0, 2), strict=True):
        for falls in (False, True):
            found = bezier_curve(torch.from_numpy(inner), falls, 10)
            np.testing.assert_allclose(found.numpy(), [x, y[::-1] if falls else y], atol=1e-14)


def test_one_curve_a_cube_is_demanded():
    with pytest.raises(VolumeError, match="one curve a cube"):
        bezier_map(torch.rand(2, 1, 4, 4), torch.rand(1, 2, 2), torch.tensor([True]))
