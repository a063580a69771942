"""Elastic deformation: the field against SciPy's Gaussian filter, the warp against SciPy's map_coordinates.

Every test runs on the compiled kernels and on PyTorch's operations.
"""

import numpy as np
import pytest
import torch
from scipy import ndimage

from medgenesis.transforms.functional import elastic
from medgenesis.transforms.functional.elastic import displacement, warp_in_plane
from medgenesis.transforms.functional.random_bits import Stream, random_bits, uniform_fraction

ALPHA, SIGMA = 991.0, 8.0
SHAPES = [(side,) * 3 for side in range(1, 18)]
SHAPES += [(64, 64, 32), (20, 33, 14), (40, 36, 3), (1, 30, 7), (7, 1, 1), (48, 40), (1, 9), (9, 1), (1, 1)]


@pytest.fixture(autouse=True, params=["compiled", "torch"])
def backend(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(elastic, "compiled_for", lambda volume: None)
    else:
        pytest.importorskip("numba")


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def fields_by_scipy(seed, shape, alpha=ALPHA, sigma=SIGMA):
    """The definition: noise on every voxel, the first axis' field first, smoothed in all directions."""
    words = random_bits(np.arange(2 * np.prod(shape)), np.array([seed]), Stream.ELASTIC)
    noise = (uniform_fraction(words).astype(np.float64) * 2 - 1).reshape(2, *shape)
    return np.stack([ndimage.gaussian_filter(part, sigma, mode="constant", cval=0) * alpha for part in noise])


def warp_by_scipy(volume, fields):
    """(C, *spatial) read at places displaced along the first two axes by `fields` (2, *spatial)."""
    places = np.stack(np.meshgrid(*(np.arange(float(side)) for side in volume.shape[1:]), indexing="ij"))
    places[:2] += fields
    return np.stack([ndimage.map_coordinates(channel, places, order=1, mode="reflect") for channel in volume])


@pytest.mark.parametrize("shape", [*SHAPES, (300, 20, 3), (129, 4)], ids=str)
def test_field_is_smoothed_noise(shape, sigma=SIGMA):
    expected = fields_by_scipy(77, shape, sigma=sigma)
    found = displacement(torch.tensor([77]), shape, ALPHA, sigma)
    assert found.shape == (1, 2, *shape) and found.dtype == torch.float32
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=0, atol=1e-6 * max(10, np.abs(expected).max()))
    exact = displacement(torch.tensor([77]), shape, ALPHA, sigma, torch.float64)
    np.testing.assert_allclose(exact[0].numpy(), expected, rtol=0, atol=1e-12 * ALPHA)


@pytest.mark.parametrize("sigma", [2.5, 0.1, 1e-200, 40.0])
def test_other_smoothings(sigma):
    for shape in ((20, 33, 14), (300, 5)):
        test_field_is_smoothed_noise(shape, sigma)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_warp_in_single_and_double_precision(shape):
    volume = rand(1, 2, *shape, dtype=torch.float64)
    field = displacement(torch.tensor([5]), shape, ALPHA, SIGMA, torch.float64)[0].numpy()
    expected = warp_by_scipy(volume[0].numpy(), field)
    found = warp_in_plane(volume, np.array([5]), ALPHA, SIGMA)
    assert found.dtype == torch.float64 and found.shape == volume.shape
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=0, atol=1e-11)
    single = warp_in_plane(volume.float(), np.array([5]), ALPHA, SIGMA)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single[0].numpy(), expected, rtol=0, atol=5e-5 if len(shape) == 2 else 1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 3), (17, 4, 3), (12, 30), (64, 64, 3)], ids=str)
@pytest.mark.parametrize("alpha, sigma", [(991.0, 0.1), (1e5, 2.0), (1e6, 1.0)])
def test_displacements_of_many_sides_are_mirrored_to_and_fro(shape, alpha, sigma):
    volume = rand(1, 1, *shape, dtype=torch.float64)
    field = displacement(torch.tensor([9]), shape, alpha, sigma, torch.float64)[0].numpy()
    assert np.abs(field).max() > 4 * max(shape[:2])
    found = warp_in_plane(volume, np.array([9]), alpha, sigma)[0].numpy()
    np.testing.assert_allclose(found, warp_by_scipy(volume[0].numpy(), field), rtol=0, atol=1e-7)


@pytest.mark.parametrize("alpha", [1e12, 1e30, 1e38])
def test_absurd_displacements_stay_within_the_volume(alpha):
    volume = rand(2, 1, 9, 12, 3) + 1
    out = warp_in_plane(volume, np.array([1, 2]), alpha, 0.5)
    assert out.min() >= volume.min() and out.max() <= volume.max()


def test_values_are_read_from_displaced_places_and_never_from_another_slice():
    shape = (40, 30, 20)
    field = displacement(torch.tensor([3]), shape, ALPHA, SIGMA)[0]
    places = torch.stack(torch.meshgrid(*(torch.arange(float(side)) for side in shape), indexing="ij"))
    found = warp_in_plane(places[None], np.array([3]), ALPHA, SIGMA)[0]
    for axis in range(2):
        target = places[axis] + field[axis]
        inside = (target >= 0) & (target <= shape[axis] - 1)
        assert 0.5 < inside.float().mean() < 1
        torch.testing.assert_close(found[axis][inside], target[inside], rtol=0, atol=2e-5)
    assert torch.equal(found[2], places[2])


@pytest.mark.parametrize("shape", [(20, 30, 10), (20, 30)], ids=str)
def test_alpha_zero_changes_nothing(shape):
    volume = rand(2, 3, *shape)
    torch.testing.assert_close(warp_in_plane(volume, np.array([1, 2]), 0.0, SIGMA), volume, rtol=0, atol=1e-5)


def test_compiled_and_torch_give_the_same(monkeypatch):
    for shape in ((17, 16, 15), (2, 3, 1), (40, 36, 3), (30, 20)):
        volume, seeds = rand(3, 2, *shape), np.array([0, 2**31, 2**32 - 1])
        first, field = (warp_in_plane(volume, seeds, ALPHA, SIGMA), displacement(torch.tensor(seeds), shape, 99, 2.0))
        with monkeypatch.context() as patch:
            patch.setattr(elastic, "compiled_for", lambda volume: None)
            torch.testing.assert_close(displacement(torch.tensor(seeds), shape, 99, 2.0), field, rtol=0, atol=1e-5)
            second = warp_in_plane(volume, seeds, ALPHA, SIGMA)
        torch.testing.assert_close(first, second, rtol=0, atol=1e-4 if len(shape) == 2 else 2e-5)


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_each_cube_of_a_batch_as_if_alone(batch):
    volume, seeds = rand(batch, 2, 18, 13, 6), np.arange(batch) * 1000
    together = warp_in_plane(volume, seeds, ALPHA, SIGMA)
    alone = [warp_in_plane(volume[i : i + 1], seeds[i : i + 1], ALPHA, SIGMA) for i in range(batch)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)


def test_each_seed_and_each_axis_has_a_field_of_its_own():
    fields = displacement(torch.tensor([1, 2, 2**32 - 1]), (32, 32, 32), ALPHA, 2.0).flatten(0, 1).flatten(1)
    correlation = torch.corrcoef(fields) - torch.eye(6)
    assert correlation.abs().max() < 0.15  # about 32^3 / (2 sqrt(pi) 2)^3 = 92 independent numbers, thrice over


@pytest.mark.parametrize("value", [0.1, 0.7, 1.0, 1e-3])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rounding_never_leaves_the_range_of_the_input(value, dtype):
    constant = torch.full((2, 1, 30, 20, 5), value, dtype=dtype)
    assert torch.equal(warp_in_plane(constant, np.array([1, 2]), ALPHA, SIGMA), constant)
    edges = torch.where(rand(2, 1, 30, 20, 5) < 0.9, constant, -constant / 3)
    out = warp_in_plane(edges, np.array([1, 2]), ALPHA, SIGMA)
    assert out.dtype == dtype and out.min() >= edges.min() and out.max() <= edges.max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_computed_in_single_precision(dtype):
    volume = rand(2, 1, 30, 20, 5, dtype=dtype)
    expected = warp_in_plane(volume.float(), np.array([1, 2]), ALPHA, SIGMA).to(dtype)
    assert torch.equal(warp_in_plane(volume, np.array([1, 2]), ALPHA, SIGMA), expected)


def test_autocast_and_gradients_do_not_matter():
    volume, seeds = rand(2, 1, 30, 20, 5), np.array([1, 2])
    expected = warp_in_plane(volume, seeds, ALPHA, SIGMA)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(warp_in_plane(volume, seeds, ALPHA, SIGMA), expected)
    tracked = warp_in_plane(volume.clone().requires_grad_(), seeds, ALPHA, SIGMA)
    assert torch.equal(tracked, expected) and not tracked.requires_grad


def test_strided_input_and_input_untouched():
    volume = rand(9, 14, 11, 3, 2).permute(4, 3, 0, 1, 2)
    before = volume.clone()
    out = warp_in_plane(volume, np.array([1, 2]), ALPHA, SIGMA)
    assert torch.equal(volume, before) and not torch.equal(out, volume)
    assert torch.equal(out, warp_in_plane(volume.contiguous(), np.array([1, 2]), ALPHA, SIGMA))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_gpu_gives_the_same_within_six_times_the_memory_of_the_batch(dtype):
    volume, seeds = rand(8, 1, 64, 48, 32, dtype=dtype), np.arange(8)
    expected = warp_in_plane(volume, seeds, ALPHA, SIGMA)
    on_device = volume.cuda()
    warp_in_plane(on_device[:1], seeds[:1], ALPHA, SIGMA)  # first use: the libraries take their own memory
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    found = warp_in_plane(on_device, seeds, ALPHA, SIGMA)
    used = torch.cuda.max_memory_allocated() - before - found.nbytes
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-3 if dtype == torch.float16 else 2e-5)
    assert used <= 6 * volume.nbytes
