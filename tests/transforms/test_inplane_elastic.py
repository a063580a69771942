"""RandInPlaneElastic: displacements distributed as by NumPy and SciPy, replayed from what was drawn, in any shape."""

import json

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from medgenesis.transforms import BatchedInPlaneElastic, RandInPlaneElastic, RandInPlaneElasticd

SHAPE, DRAWS = (24, 18, 10), 1000
PLACES = {"middle": (12, 9, 5), "corner": (0, 0, 0), "edge": (23, 9, 3)}


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def ours() -> np.ndarray:
    """Displacements (DRAWS, 2, *SHAPE)."""
    return RandInPlaneElastic().sample(np.random.RandomState(1), (DRAWS, 1, *SHAPE)).expand()


@pytest.fixture(scope="module")
def twin() -> np.ndarray:
    """The same, slow and obvious, with NumPy's generator."""
    rng = np.random.default_rng(2)
    noise = rng.uniform(-1, 1, (DRAWS, 2, *SHAPE)).astype(np.float32)
    return ndimage.gaussian_filter(noise, (0, 0, 8, 8, 8), mode="constant", cval=0) * 991


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("axis", [0, 1])
def test_displacements_are_distributed_as_the_twins(ours, twin, place, axis):
    found, expected = (fields[(slice(None), axis, *place)] for fields in (ours, twin))
    assert stats.ks_2samp(found, expected).pvalue > 1e-4


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_spread_is_that_of_weighted_uniform_numbers(ours, place):
    """Closed form: a sum of w * U(-1, 1) has variance sum(w^2) / 3."""
    impulse = np.zeros(SHAPE)
    impulse[place] = 991
    spread = np.sqrt((ndimage.gaussian_filter(impulse, 8, mode="constant", cval=0) ** 2).sum() / 3)
    found = ours[(slice(None), slice(None), *place)]
    assert abs(found.mean()) < 4.5 * spread / np.sqrt(found.size)
    assert abs(found.std() / spread - 1) < 4.5 / np.sqrt(2 * found.size)


@pytest.mark.parametrize("step", [(0, 0, 0), (0, 0, 4), (0, 8, 0), (10, 0, 0), (5, 5, 3)])
def test_neighbours_move_together_and_the_two_axes_do_not(ours, twin, step):
    here, there = PLACES["middle"], tuple(np.subtract(PLACES["middle"], step))
    for first, second in ((0, 0), (1, 1), (0, 1)):
        found, expected = (
            np.corrcoef(fields[(slice(None), first, *here)], fields[(slice(None), second, *there)])[0, 1]
            for fields in (ours, twin)
        )
        assert abs(np.arctanh(found * 0.999) - np.arctanh(expected * 0.999)) < 4.5 * np.sqrt(2 / DRAWS)


def test_published_cubes_are_displaced_by_three_to_four_voxels():
    fields = RandInPlaneElastic().sample(np.random.default_rng(0), (12, 1, 64, 64, 32)).expand()
    assert 3 < fields.std() < 4 and 7 < np.abs(fields).max() < 20


def test_images_are_displaced_alike_at_the_alpha_that_the_notes_name():
    fields = RandInPlaneElastic(alpha=186).sample(np.random.default_rng(0), (300, 1, 96, 96)).expand()
    spread = 991 / np.sqrt(3) / (2 * 8 * np.sqrt(np.pi)) ** 1.5  # closed form, far from the faces of a volume
    assert abs(fields[:, :, 48, 48].std() / spread - 1) < 4.5 / np.sqrt(2 * 600)


@pytest.mark.parametrize("shape", [(24, 31, 9), (30, 20, 3), (1, 5, 2), (33, 20)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_was_drawn_says_where_each_voxel_was_read(shape, channels):
    volume, transform = rand(channels, *shape), RandInPlaneElastic(alpha=300, sigma=4).set_random_state(0)
    out = transform(volume)
    places = np.stack(np.meshgrid(*(np.arange(float(side)) for side in shape), indexing="ij"))
    places[:2] += transform.params.expand()[0]
    for found, channel in zip(out.numpy(), volume.double().numpy(), strict=True):
        expected = ndimage.map_coordinates(channel, places, order=1, mode="reflect")
        np.testing.assert_allclose(found, expected, rtol=0, atol=5e-5 if len(shape) == 2 else 1e-5)


def test_log_holds_all_that_was_drawn():
    transform = RandInPlaneElastic(alpha=500, sigma=4).set_random_state(0)
    transform(rand(1, 8, 9, 10))
    record = json.loads(json.dumps(transform.params.record()))
    assert record["alpha"] == 500 and record["sigma"] == 4 and record["spatial_shape"] == [8, 9, 10]
    assert 0 <= record["seeds"][0] < 2**32


def test_alpha_scales_and_sigma_smoothes():
    rough, far, smooth = (
        RandInPlaneElastic(*settings).sample(np.random.RandomState(0), (1, 1, 30, 30, 30)).expand()
        for settings in ((100, 2), (300, 2), (100, 4))
    )
    np.testing.assert_allclose(far, 3 * rough, rtol=1e-5)
    jumps = [np.abs(np.diff(field, axis=2)).mean() / field.std() for field in (rough, smooth)]
    assert 0.4 < jumps[1] / jumps[0] < 0.6
    volume = rand(1, 10, 12, 14)
    torch.testing.assert_close(RandInPlaneElastic(alpha=0)(volume), volume, rtol=0, atol=1e-5)


def test_keys_share_one_field_and_cubes_of_a_batch_do_not():
    volume = rand(1, 16, 12, 8)
    both = RandInPlaneElasticd(["a", "b"]).set_random_state(0)({"a": volume, "b": volume + 1})
    torch.testing.assert_close(both["a"] + 1, both["b"], rtol=0, atol=1e-5)
    batched = BatchedInPlaneElastic().set_random_state(0)
    out = batched(volume.expand(2, 1, -1, -1, -1))
    assert not torch.equal(out[0], out[1])
    assert torch.equal(batched.transform.apply(volume[None], batched.params.select(np.array([1])))[0], out[1])


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"alpha": -1}, "alpha: .*found -1"),
        ({"alpha": float("nan")}, "alpha: .*found nan"),
        ({"alpha": float("inf")}, "alpha: .*found inf"),
        ({"sigma": 0}, "sigma: .*found 0"),
        ({"sigma": -2.0}, "sigma: .*found -2"),
        ({"sigma": float("nan")}, "sigma: .*found nan"),
        ({"sigma": float("inf")}, "sigma: .*found inf"),
        ({"prob": 1.5}, "prob: .*found 1.5"),
    ],
)
@pytest.mark.parametrize(
    "make", [RandInPlaneElastic, lambda **s: RandInPlaneElasticd("image", **s), BatchedInPlaneElastic]
)
def test_impossible_settings_are_named(make, settings, words):
    with pytest.raises(ValueError, match=words):
        make(**settings)


def test_the_spread_at_the_defaults_is_what_the_docstring_says():
    transform, rng = RandInPlaneElastic(), np.random.RandomState(0)
    spread = [transform.sample(rng, (1, 1, 64, 64, 32)).expand().std() for _ in range(30)]
    assert abs(np.mean(spread) - 3.2) < 0.1
    assert abs(991 / 3**0.5 / (2 * np.pi**0.5 * 8) ** 1.5 - 3.8) < 0.05  # white noise through the Gaussian, no faces
    assert abs(170 / 3**0.5 / (2 * np.pi**0.5 * 8) - 3.5) < 0.05
