"""RandSlab(d) against plain indexing: slices, their order and spacing, which way up, images, label maps, affines."""

import json
import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, set_track_meta
from monai.transforms import Compose
from scipy import stats

from medgenesis.data.patch_dataset import PatchDataset
from medgenesis.errors import VolumeError
from medgenesis.transforms import RandSlab, RandSlabd

SHAPE = (11, 13, 17)
AFFINE = np.array([[2.0, 0.3, 0, 5], [0, 3, 0, 6], [-0.2, 0, 4, 7], [0, 0, 0, 1]])


def volume(*shape, seed=0):
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed))


def drawing(given, axis, place):
    """One slice of (1, X, Y, Z) as displayed: head (or front) up."""
    x = given[0].numpy()
    if axis == 2:
        return x[:, :, place].T
    return np.flipud((x[:, place] if axis == 1 else x[place]).T)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slices, step", [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_neighbouring_slices_are_those_of_plain_indexing(axis, slices, step):
    given, half, middles = volume(*SHAPE), slices // 2 * step, []
    transform = RandSlab(slices, axis, step=step).set_random_state(0)
    for _ in range(60):
        slab = transform(given)
        middle = transform.params.slices[0, slices // 2]
        middles.append(middle)
        expected = np.stack([drawing(given, axis, middle + step * k) for k in range(-(slices // 2), slices // 2 + 1)])
        np.testing.assert_array_equal(slab, expected)
        assert slab.dtype == torch.float32 and torch.as_tensor(slab).is_contiguous()
    assert set(middles) == set(range(half, SHAPE[axis] - half))


def test_the_middle_slice_is_uniform_where_its_neighbours_are_and_so_is_the_axis():
    transform, rng = RandSlab(3, "random"), np.random.RandomState(0)
    drawn = [transform.sample(rng, (1, 1, *SHAPE)) for _ in range(9000)]
    axes = np.array([params.axis for params in drawn])
    assert stats.chisquare(np.bincount(axes)).pvalue > 1e-4
    middles = np.array([params.slices[0, 1] for params in drawn])
    for axis, side in enumerate(SHAPE):
        counts = np.bincount(middles[axes == axis], minlength=side)
        assert counts[0] == counts[-1] == 0 and stats.chisquare(counts[1:-1]).pvalue > 1e-4


@pytest.mark.parametrize("axis", [0, 2, "random"])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1)])
def test_an_image_becomes_equal_slices_upright(axis, shape):
    x_ray = volume(*shape)
    slab = RandSlab(3, axis, step=4)(x_ray)
    assert slab.shape == (3, 7, 9)
    for channel in slab:
        np.testing.assert_array_equal(channel, x_ray.reshape(9, 7).T)


def test_a_volume_with_too_few_slices_repeats_its_ends():
    given = volume(4, 5, 2)
    transform = RandSlab(5, 2).set_random_state(0)
    seen = set()
    for _ in range(30):
        slab, middle = transform(given), int(transform.params.slices[0, 2])
        seen.add(middle)
        np.testing.assert_array_equal(
            slab, np.stack([drawing(given, 2, np.clip(middle + k, 0, 1)) for k in range(-2, 3)])
        )
    assert seen == {0, 1}


def test_a_step_in_mm_is_whole_slices_of_the_volumes_own_spacing():
    spacing = np.linalg.norm(AFFINE[:3, :3], axis=0)
    for axis in range(3):
        for step_mm in (0.1, 5.0, 8.9):
            transform = RandSlab(3, axis, step_mm=step_mm)
            transform(MetaTensor(volume(20, 20, 20), affine=AFFINE))
            expected = max(1, int(np.rint(step_mm / spacing[axis])))
            assert np.diff(transform.params.slices[0]).tolist() == [expected] * 2
    assert {1, 2, 4} == {max(1, int(np.rint(mm / spacing[0]))) for mm in (0.1, 5.0, 8.9)}, "the cases differ"


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("step", [1, 3])
def test_the_affine_leads_each_pixel_to_where_its_voxel_lies(axis, step):
    """A volume of its own coordinates: what a voxel says is where it is."""
    grid = np.indices(SHAPE)
    numbers = np.ravel_multi_index(grid, SHAPE)
    for seed in range(4):
        transform = RandSlab(3, axis, step=step).set_random_state(seed)
        slab = transform(MetaTensor(torch.from_numpy(numbers[None].astype(np.float32)), affine=AFFINE))
        rows, columns = np.indices(slab.shape[1:])
        for channel in range(3):
            there = (
                np.stack([rows, columns, np.full_like(rows, channel - 1), np.ones_like(rows)], -1)
                @ slab.affine.T.numpy()
            )
            voxels = np.stack(np.unravel_index(slab[channel].numpy().astype(int), SHAPE), -1)
            expected = np.concatenate([voxels, np.ones_like(voxels[..., :1])], -1) @ AFFINE.T
            np.testing.assert_allclose(there, expected, atol=1e-4)


def test_an_image_keeps_meta_data_and_gets_its_axes_turned():
    x_ray = MetaTensor(volume(9, 7), affine=np.diag([0.5, 0.25, 1, 1]), meta={"patient": "p7"})
    slab = RandSlab()(x_ray)
    assert slab.meta["patient"] == "p7"
    np.testing.assert_array_equal(slab.affine, np.array([[0, 0.5, 0, 0], [0.25, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    set_track_meta(False)
    try:
        assert type(RandSlab()(x_ray)) is torch.Tensor
    finally:
        set_track_meta(True)


def test_the_label_map_gives_its_middle_slice_by_the_same_draw():
    image, label = volume(*SHAPE), (volume(*SHAPE, seed=1) * 9).to(torch.uint8)
    for seed in range(6):
        crop = RandSlabd("image", 5, "random", label_keys="label").set_random_state(seed)
        out = crop({"image": image, "label": label, "name": "a"})
        params = crop.transform.params
        assert out["label"].dtype == torch.uint8 and out["label"].shape[0] == 1 and out["name"] == "a"
        np.testing.assert_array_equal(out["label"][0], drawing(label, params.axis, params.slices[0, 2]))
        np.testing.assert_array_equal(out["image"][2], drawing(image, params.axis, params.slices[0, 2]))
    with pytest.raises(KeyError):
        crop({"image": image})
    RandSlabd("image", label_keys="label", allow_missing_keys=True)({"image": image})
    with pytest.raises(VolumeError, match="of 1 cubes"):
        crop({"image": image, "label": label[:, :-1]})
    both = RandSlabd(["a", "b"], axis="random").set_random_state(0)({"a": image, "b": image * 0.5})
    assert torch.equal(both["a"] * 0.5, both["b"])


def test_seeds_replay_records_and_pickles():
    given = volume(*SHAPE)
    transform = RandSlab(3, "random").set_random_state(3)
    first = transform(given)
    assert torch.equal(transform(given, randomize=False), first)
    record = json.loads(json.dumps(transform.params.record()))
    assert record["slices"] == transform.params.slices.tolist() and record["spatial_shape"] == list(SHAPE)
    assert transform.params.expand().shape == (1, 3)
    assert torch.equal(RandSlab(3, "random").set_random_state(3)(given), first)
    assert any(not torch.equal(transform(given), first) for _ in range(3))
    again, ours = pickle.loads(pickle.dumps(transform)), transform(given)
    assert torch.equal(again(given), ours)
    chain = Compose([RandSlabd("image", axis="random")])
    one, other = (chain.set_random_state(5)({"image": given})["image"] for _ in range(2))
    assert torch.equal(one, other)
    with pytest.raises(RuntimeError, match="randomize=False needs an earlier draw"):
        RandSlab()(given, randomize=False)


def test_the_data_set_of_cubes_takes_it_for_volumes_and_images_alike():
    items = [{"image": volume(20, 16, 12)}, {"image": volume(16, 20)}, {"image": volume(16, 20, 1)}]
    data = PatchDataset(items, lambda item: item, RandSlabd("image", 3), patches_per_image=2, cache="none", seed=1)
    samples = [data[index]["image"] for index in range(6)]
    assert [tuple(sample.shape) for sample in samples] == [(3, 16, 20)] * 2 + [(3, 20, 16)] * 4
    assert all(torch.equal(data[index]["image"], sample) for index, sample in enumerate(samples))
    with pytest.raises(VolumeError, match="volume: must be a volume"):
        PatchDataset([{"image": torch.rand(2, 8, 8, 8)}], lambda item: item, RandSlabd("image"), cache="none")


@pytest.mark.parametrize("shape", [(2, 9, 9, 9), (9, 9), (1, 0, 9, 9), (3, 9, 9)])
def test_what_is_no_volume_is_named(shape):
    with pytest.raises(VolumeError, match=r"volume: must be a volume .*; found shape \("):
        RandSlab()(torch.rand(shape))


def test_values_that_cannot_be_used_are_named():
    with pytest.raises(VolumeError, match="floating point"):
        RandSlab()(torch.zeros(1, 9, 9, 9, dtype=torch.int16))
    with pytest.raises(VolumeError, match="finite"):
        RandSlab()(torch.full((1, 9, 9, 9), float("nan")))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"slices": 4}, "slices: must be an odd number, .*; found 4"),
        ({"slices": 0}, "slices: must be a whole number of at least 1; found 0"),
        ({"axis": 3}, 'axis: must be 0, 1, 2 or "random"; found 3'),
        ({"axis": "z"}, "axis: must be"),
        ({"step": 0}, "step: must be a whole number of at least 1; found 0"),
        ({"step_mm": 0.0}, "step_mm: must be .* above 0, or None; found 0"),
        ({"step_mm": float("nan")}, "step_mm: must be"),
    ],
)
def test_impossible_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        RandSlab(**settings)
    with pytest.raises(ValueError, match=words):
        RandSlabd("image", **settings)


def test_a_step_in_mm_needs_to_know_how_thick_slices_are():
    for given in (np.asarray(volume(9, 9, 9)), torch.as_tensor(volume(9, 9, 9))):
        with pytest.raises(VolumeError, match="step_mm: must go with an affine.*found 3 for a volume without"):
            RandSlab(3, 2, step_mm=3)(given)
    assert RandSlab(3, 1, step_mm=3)(volume(9, 9, 1)).shape == (3, 9, 9)  # an image has one slice alone
    assert RandSlab(3, 1, step_mm=3)(volume(9, 9, 1)[..., 0]).shape == (3, 9, 9)


@pytest.mark.parametrize("axis", [0, 2, "random"])
def test_a_step_in_mm_leaves_an_image_with_an_affine_equal_slices(axis):
    for given in (MetaTensor(volume(9, 7)), MetaTensor(volume(9, 7), affine=np.diag([0.5, 0.25, 1, 1]))):
        for one in (given, given[..., None]):
            slab = RandSlab(3, axis, step_mm=3.0)(one)
            assert slab.shape == (3, 7, 9) and all(torch.equal(channel, slab[0]) for channel in slab)
            np.testing.assert_array_equal(slab[0], np.asarray(given)[0].T)


def test_a_label_map_without_its_image_has_a_slice_of_its_own():
    planes = torch.arange(9).view(1, 1, 1, 9).expand(1, 4, 5, 9)
    crop = RandSlabd("image", label_keys=["label", "other"], allow_missing_keys=True).set_random_state(0)
    with pytest.raises(KeyError):
        RandSlabd("image", label_keys="label")({"label": planes})
    crop({"image": volume(4, 5, 9), "label": planes})
    seen = set()
    for _ in range(60):
        out = crop({"label": planes, "other": 10 * planes})
        (place,) = out["label"].unique().tolist()
        assert out["other"].unique().tolist() == [10 * place] and out["label"].shape == (1, 5, 4)
        seen.add(place)
    assert seen == set(range(1, 8))
    flat = crop({"label": planes[..., 3]})  # of another shape than what was drawn before
    np.testing.assert_array_equal(flat["label"][0], np.full((5, 4), 3))
