"""Where cubes are cut, what comes with them, and what is read for it."""

import pickle
import re

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medgenesis.data import (
    AnyCriterion,
    CropCriterion,
    LungCriterion,
    RandAcceptedCropd,
    ScaleIntensityPresetd,
    acceptance,
    preprocessing,
)
from medgenesis.data.crops import border_voxels, draw_cube
from medgenesis.errors import VolumeError

AFFINE = torch.tensor([[0, -0.8, 0, 50], [-0.9, 0, 0, 40], [0, 0, 2.0, -7], [0, 0, 0, 1]], dtype=torch.float64)


def _volume(shape=(1, 20, 18, 16), seed=0):
    return MetaTensor(torch.rand(shape, generator=torch.Generator().manual_seed(seed)), affine=AFFINE.clone())


def _at(affine, *place):
    return np.asarray(affine) @ [*place, 1]


def test_a_cube_is_a_copy_of_its_place_in_the_volume():
    volume, label = _volume(), _volume(seed=1)
    crop = RandAcceptedCropd("image", (6, 5, 4), "any", label_keys="label").set_random_state(3)
    for _ in range(20):
        item = crop({"image": volume, "label": label, "patient": "p"})
        x, y, z = crop.start
        for key, whole in (("image", volume), ("label", label)):
            cube = item[key]
            assert torch.equal(cube.as_tensor(), whole.as_tensor()[:, x : x + 6, y : y + 5, z : z + 4])
            np.testing.assert_allclose(_at(cube.affine, 1, 2, 3), _at(AFFINE, x + 1, y + 2, z + 3))
            assert cube.untyped_storage().nbytes() == 4 * 6 * 5 * 4  # no view of the volume
        assert item["distance_to_acceptance"] == 0 and item["patient"] == "p"


def test_every_position_can_be_drawn():
    crop = RandAcceptedCropd("image", (19, 18, 14), "any").set_random_state(0)
    starts = set()
    for _ in range(200):
        crop({"image": _volume()})
        starts.add(crop.start)
    assert starts == {(x, 0, z) for x in range(2) for z in range(3)}


def test_same_seed_same_cubes_and_pickle():
    one = RandAcceptedCropd("image", 5, "any").set_random_state(7)
    other = pickle.loads(pickle.dumps(RandAcceptedCropd("image", 5, "any"))).set_random_state(7)
    for _ in range(5):
        assert torch.equal(one({"image": _volume()})["image"], other({"image": _volume()})["image"])


@pytest.mark.parametrize(
    "sides, expected",
    [
        ((512, 512, 300), [(100, 101), (100, 101), (30, 34)]),
        ((265, 265, 96), [(100, 101), (100, 101), (30, 34)]),  # the least that the published program takes
        ((264, 265, 95), [(44, 44), (100, 101), (7, 7)]),  # 200 * 100 / 448; 63 * 30 / 268
        ((64, 64, 32), [(0, 0)] * 3),
    ],
)
def test_published_borders_hold_where_they_fit_and_shrink_below(sides, expected):
    assert border_voxels(sides, (64, 64, 32), LungCriterion()) == expected


def test_published_starts_are_reached_and_not_left():
    volume = torch.zeros(1).expand(1, 300, 280, 110)  # reads as zeros, takes no memory
    rng = np.random.RandomState(0)
    starts = np.array([draw_cube(volume, (64, 64, 32), LungCriterion(), rng, tries=1)[0] for _ in range(1000)])
    np.testing.assert_array_equal(starts.min(0), [100, 100, 30])
    np.testing.assert_array_equal(starts.max(0), [300 - 165, 280 - 165, 110 - 66])


def test_own_borders_are_shares_of_the_room():
    assert border_voxels((20, 18, 16), (10, 18, 12), AnyCriterion(), 0.25) == [(2, 2), (0, 0), (1, 1)]
    assert border_voxels((21, 18, 17), (10, 18, 12), LungCriterion(), (0.5, 0, 0.5)) == [(5, 5), (0, 0), (2, 2)]
    assert border_voxels((20, 18, 16), (10, 18, 12), AnyCriterion()) == [(0, 0)] * 3


class Brightest(CropCriterion):
    """Never satisfied; the brighter the nearer."""

    def distance_to_acceptance(self, cube, depth):
        return 1 - float(cube.mean())


def test_the_nearest_candidate_is_taken_and_told_after_so_many_tries():
    volume = _volume()
    crop = RandAcceptedCropd("image", 4, Brightest(), tries=9).set_random_state(5)
    item = crop({"image": volume})
    rng = np.random.RandomState(5)
    candidates = []
    for _ in range(9):
        x, y, z = (rng.randint(0, side - 4 + 1) for side in volume.shape[1:])
        candidates.append(float(volume[0, x : x + 4, y : y + 4, z : z + 4].mean()))
    assert float(item["image"].mean()) == pytest.approx(max(candidates), abs=1e-6)
    assert item["distance_to_acceptance"] == pytest.approx(1 - max(candidates), abs=1e-6)


def test_the_rule_looks_one_slice_beyond_the_cube():
    volume = torch.full((1, 4, 4, 5), 0.1)
    volume[..., 4] = 0.9  # dense, right behind the cube: half a point a voxel of its last slice
    distance_to_acceptance = draw_cube(
        volume[..., :5], (4, 4, 4), LungCriterion(max_dense=0.0), np.random.RandomState(0), border=0.5
    )[1]
    start = draw_cube(volume, (4, 4, 4), LungCriterion(), np.random.RandomState(0), border=0.5)[0]
    assert start == (0, 0, 0) and distance_to_acceptance == pytest.approx(0.5 / 4)


def test_acceptance_is_the_share_of_positions():
    volume = torch.full((1, 4, 4, 13), 0.1)
    volume[..., 6:] = 0.0  # air: of the 10 starts, cubes of 4 slices at 0 to 4 have at most half of it
    from medgenesis.data import ForegroundCriterion

    share = acceptance(volume, (4, 4, 4), ForegroundCriterion(), np.random.RandomState(0), draws=4000)
    assert share == pytest.approx(0.5, abs=0.04)


def test_size_in_millimetres():
    volume = _volume((1, 40, 36, 20))  # 0.9 x 0.8 x 2 mm
    ramp = torch.arange(40.0)[:, None, None].expand(40, 36, 20)
    volume = MetaTensor((ramp / 40)[None].contiguous(), affine=AFFINE.clone())
    label = MetaTensor((ramp > 19).float()[None].contiguous(), affine=AFFINE.clone())
    crop = RandAcceptedCropd("image", (8, 9, 10), "any", label_keys="label", size_mm=16).set_random_state(1)
    item = crop({"image": volume, "label": label})
    cube = item["image"]
    assert cube.shape == (1, 8, 9, 10)
    sides = np.linalg.norm(np.asarray(cube.affine)[:3, :3], axis=0) * [8, 9, 10]
    np.testing.assert_allclose(sides, [18 * 0.9, 20 * 0.8, 8 * 2], rtol=1e-6)  # 16 mm in whole voxels
    steps = np.diff(cube[0, :, 0, 0].numpy())[1:-1]
    np.testing.assert_allclose(steps, 18 / 8 / 40, atol=1e-5)  # linear stays linear
    assert set(item["label"].unique().tolist()) <= {0.0, 1.0}


def test_a_volume_smaller_than_the_cube():
    volume = _volume((1, 44, 44, 6))
    volume.meta["filename_or_obj"] = "thin.nii"
    with pytest.raises(VolumeError, match=r"thin.nii: .* the cube, \(64, 64, 32\); found \(44, 44, 6\)"):
        RandAcceptedCropd("image", (64, 64, 32))({"image": volume})
    cube = RandAcceptedCropd("image", (64, 64, 32), "any", pad=True)({"image": volume})["image"]
    assert cube.shape == (1, 64, 64, 32)
    assert torch.equal(cube[:, 10:54, 10:54, 13:19].as_tensor(), volume.as_tensor())
    assert float(cube.sum()) == pytest.approx(float(volume.sum()), rel=1e-5)
    np.testing.assert_allclose(_at(cube.affine, 10, 10, 13), _at(AFFINE, 0, 0, 0))


@pytest.mark.parametrize("pad", (False, True))
@pytest.mark.parametrize("shape", ((1, 10, 9, 8), (1, 20, 18, 15), (1, 40, 36, 32), (1, 20, 18)))
def test_keys_on_another_grid_are_refused_by_name(pad, shape):
    other = torch.ones(shape)
    found = rf"must lie on the grid of image, \(20, 18, 16\); found {re.escape(str(shape[1:]))}"
    with pytest.raises(VolumeError, match="label: " + found):
        RandAcceptedCropd("image", 6, "any", label_keys="label", pad=pad)({"image": _volume(), "label": other})
    with pytest.raises(VolumeError, match="pet: " + found):
        RandAcceptedCropd(["image", "pet"], 6, "any", pad=pad)({"image": _volume(), "pet": other})


@pytest.mark.parametrize("absent", ["image", "label"])
def test_an_item_without_a_key_is_named(absent):
    item = {key: torch.zeros(1, 8, 8, 8) for key in ("image", "label") if key != absent}
    with pytest.raises(KeyError, match=f"{absent}: `keys` and `label_keys` must be in every item; found {min(item)}"):
        RandAcceptedCropd("image", 4, "any", label_keys="label")(item)


def test_padding_is_not_what_the_rule_sees():
    volume = MetaTensor(torch.full((1, 30, 30, 4), 0.07))
    assert RandAcceptedCropd("image", 32, "lung", pad=True)({"image": volume})["distance_to_acceptance"] == 0


def test_two_dimensions_and_channels():
    item = RandAcceptedCropd("image", (4, 6), "any")({"image": torch.rand(3, 9, 9)})
    assert item["image"].shape == (3, 4, 6)


def test_a_mapped_volume_stays_on_the_disk(tmp_path):
    """Only the candidates' pages are touched: everything else may be unreadable."""
    stored = torch.rand(1, 64, 64, 64)
    torch.save(stored, tmp_path / "v.pt")
    mapped = torch.load(tmp_path / "v.pt", mmap=True, weights_only=True)
    crop = RandAcceptedCropd("image", 8, "any").set_random_state(0)
    item = crop({"image": mapped})
    x, y, z = crop.start
    assert torch.equal(item["image"].as_tensor(), stored[:, x : x + 8, y : y + 8, z : z + 8])
    assert item["image"].untyped_storage().nbytes() == 4 * 8**3


@pytest.mark.parametrize("options", [{"size": 0}, {"size": 4, "tries": 0}, {"size": 4, "border": 0.6}])
def test_settings_out_of_range(options):
    with pytest.raises(ValueError, match="must be"):
        RandAcceptedCropd("image", **options)


def test_the_published_rule_finds_nothing_in_a_small_chest_but_foreground_does(real_data):
    volume = preprocessing()({"image": str(real_data / "ct_chest_cip/ct-64.nrrd")})["image"]
    shares = {
        criterion: acceptance(volume, (32, 32, 16), criterion, np.random.RandomState(0), draws=500)
        for criterion in ("lung", "foreground", "any")
    }
    assert shares["lung"] == 0 and shares["foreground"] > 0.9 and shares["any"] == 1


def test_accepted_cubes_of_the_real_chest_are_lung(real_data):
    chest = real_data / "ct_chest_cip"
    steps = preprocessing(label_keys="lungs")
    item = steps({"image": str(chest / "ct-64.nrrd"), "lungs": str(chest / "wholeLung-64.nrrd")})
    crop = RandAcceptedCropd("image", (16, 16, 8), "lung", label_keys="lungs").set_random_state(0)
    lungs = [
        float(cube["lungs"].mean()) for cube in (crop(item) for _ in range(40)) if cube["distance_to_acceptance"] == 0
    ]
    assert len(lungs) >= 30 and np.mean(lungs) > 0.7
    anywhere = RandAcceptedCropd("image", (16, 16, 8), "any", label_keys="lungs").set_random_state(0)
    assert np.mean(lungs) > 2 * np.mean([float(anywhere(item)["lungs"].mean()) for _ in range(40)])


def test_cube_and_volume_of_different_rank_are_named():
    with pytest.raises(VolumeError, match="as many spatial axes as the cube has sides, 3; found 2"):
        RandAcceptedCropd("image", (8, 8, 8), "any")({"image": torch.rand(1, 16, 16)})


@pytest.mark.parametrize("criterion", ["any", "foreground", "lung"])
def test_numpy_arrays_are_cut_as_tensors(criterion):
    volume = np.random.default_rng(0).random((1, 20, 20, 20), dtype=np.float32)
    cubes = []
    for given in (volume, torch.from_numpy(volume)):
        crop = RandAcceptedCropd("image", 8, criterion, label_keys="label").set_random_state(0)
        cubes.append(crop({"image": given, "label": given > 0.5}))
        assert crop.acceptance(given, 4, np.random.RandomState(0)) == (0 if criterion == "lung" else 1)
        inside = tuple(slice(start, start + 8) for start in crop.start)
        np.testing.assert_array_equal(cubes[-1]["image"], volume[(slice(None), *inside)])
    for one, other in zip(cubes[0].values(), cubes[1].values(), strict=True):
        assert type(one) is type(other) and np.array_equal(one, other)


@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray])
def test_millimetres_of_a_volume_without_an_affine(kind):
    crop = RandAcceptedCropd("image", 8, "any", size_mm=16)
    with pytest.raises(VolumeError, match="size_mm: must go with an affine.*found 16 for a volume without"):
        crop({"image": kind(np.zeros((1, 20, 20, 20), np.float32))})


def test_an_array_that_was_scaled_has_no_spacing_either():
    scaled = ScaleIntensityPresetd("image", "unit")(
        {"image": np.zeros((1, 40, 40, 40), np.float32) + np.eye(40, dtype=np.float32)}
    )
    with pytest.raises(VolumeError, match="size_mm"):
        RandAcceptedCropd("image", 32, size_mm=40.0)(scaled)
