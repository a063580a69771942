"""Which patient shows a new pattern, and where: draws beside what the criterion and the distances allow."""

import numpy as np
import pytest
import torch
from helpers.mining_world import SIZE, SMALL, landmarks, noise

from medgenesis.data import ForegroundCriterion, LungCriterion
from medgenesis.errors import IntensityRangeError, VolumeError
from medgenesis.mining import CoordinateSystem, discover
from medgenesis.mining.reference_search import ReferenceSearch


def test_planted_tissue_is_where_the_rule_looks(world):
    """Only one block of each volume is body, so every coordinate lies there."""
    arrays = np.zeros((12, 20, 20, 20), np.float32)
    arrays[:, 8:18, 2:12, 5:15] = 0.5
    volumes, features, load = world(arrays, validation=4)
    criterion = ForegroundCriterion(min_fraction=1.0)
    table = discover(volumes, features, load, criterion=criterion, **{**SMALL, "min_distance": 1})
    for item in table.training + table.validation:
        assert all(
            low <= start and start + side <= high
            for low, high, start, side in zip((8, 2, 5), (18, 12, 15), item["origin"], SIZE, strict=True)
        )
    assert table.settings["rule"] == "ForegroundCriterion(threshold=0.015, min_fraction=1.0)"


@pytest.mark.parametrize("seed", range(20))
def test_one_collision_does_not_reject_a_reference(world, seed):
    """13 places along a line, of which up to 11 lie too near to the first: another draw finds one that does not."""
    volumes, features, load = world(noise(2, (16, 4, 4)), validation=0)
    settings = {"classes": 2, "train_patients": 2, "validation_patients": 0, "cube_size": (4, 4, 4)}
    table = discover(volumes, features, load, criterion="any", min_distance=6, seed=seed, **settings)
    first, second = (item["origin"][0] for item in table.references)
    assert abs(first - second) >= 6


def test_a_patient_that_failed_is_drawn_again(world):
    arrays = noise(9, (20, 18, 14))
    arrays[3] = 0  # nothing of it is body, in no class
    volumes, features, load = world(arrays, validation=0)
    settings = {**SMALL, "classes": 8, "validation_patients": 0, "min_distance": 1}
    for seed in range(10):
        table = discover(volumes, features, load, criterion="foreground", seed=seed, **settings)
        assert {item["patient"] for item in table.references} == {f"p{i:03}" for i in range(9)} - {"p003"}
    # by chance it comes before a good one 1/9 + 1/8 + ... + 1/2 = 1.8 times a run; at most once if it were struck off
    assert load.asked.count(3) > 10


def test_when_references_run_out_the_classes_found_are_kept(world):
    arrays = noise(7)
    arrays[[1, 4]] = 0
    volumes, features, load = world(arrays, validation=0)
    settings = {**SMALL, "classes": 7, "train_patients": 7, "validation_patients": 0, "min_distance": 2}
    kept = []
    with pytest.raises(
        VolumeError,
        match=r"^classes: .*ForegroundCriterion.*found 5, then none in the 2 patients.*0 of 400.*min_distance",
    ):
        discover(volumes, features, load, criterion="foreground", on_class=kept.append, **settings)
    assert kept[-1].num_classes == 5
    kept[-1].validate()
    enough = discover(volumes, features, load, criterion="foreground", resume=kept[-1], **{**settings, "classes": 5})
    assert enough.training == kept[-1].training


@pytest.mark.parametrize(
    "criterion, min_distance, found, offered",
    [
        ("lung", 17, 0, "Lower `min_distance`, raise `tries`, add patients, or choose the rule 'foreground' or 'any'."),
        ("foreground", 17, 1, "Lower `min_distance`, raise `tries`, add patients, or choose the rule 'any'."),
        ("any", 17, 2, "Ask for 2 classes, lower `min_distance`, raise `tries`, or add patients."),
        (ForegroundCriterion(min_fraction=1.0), 0, 0, "Raise `tries`, add patients, or choose the rule 'any'."),
    ],
    ids=["lung", "foreground", "any", "no distance"],
)
def test_what_is_offered_where_no_place_is_left(infos, loader, criterion, min_distance, found, offered):
    """By hand: of `found` classes a reference is known, in volumes that one cube fills; the others have no place."""
    arrays = np.zeros((4, *SIZE), np.float32)
    volumes = infos([array.shape for array in arrays])
    coordinates = CoordinateSystem("voxel", SIZE)
    search = ReferenceSearch(dict(enumerate(volumes)), loader(arrays), coordinates, criterion, min_distance, tries=2)
    with pytest.raises(VolumeError) as error:
        search.draw([(i, (0, 0, 0)) for i in range(found)], np.random.RandomState(0))
    assert str(error.value).endswith(f"positions were accepted). {offered}")


def test_coordinates_too_far_apart_to_be_found(world):
    volumes, features, load = world(noise(8), validation=0)
    settings = {**SMALL, "classes": 8, "validation_patients": 0, "min_distance": 17}
    with pytest.raises(VolumeError, match=r"^classes: .*rule AnyCriterion\(\).*17.*found [1-3], then none"):
        discover(volumes, features, load, criterion="any", **settings)


def test_the_lung_rule_is_the_default(world):
    """Dense tissue everywhere but in one corner of each volume."""
    arrays = np.full((8, 40, 40, 24), 0.6, np.float32)
    arrays[:, 20:, :, :] = 0.1
    volumes, features, load = world(arrays, validation=3)
    settings = {"classes": 3, "train_patients": 4, "validation_patients": 2, "cube_size": (8, 8, 4)}
    table = discover(volumes, features, load, **settings)
    assert table.settings["rule"] == "lung"
    criterion = LungCriterion()
    for item in table.references:
        x, y, z = item["origin"]
        assert criterion.distance_to_acceptance(torch.from_numpy(arrays[0][x : x + 8, y : y + 8, z : z + 5]), 4) == 0
        assert x >= 18


def test_min_distance_relative_to_the_body_is_measured_in_the_new_reference(world):
    arrays, boxes = landmarks(1)
    volumes, features, load = world(arrays, validation=5, boxes=boxes)
    settings = {**SMALL, "classes": 7, "cube_size": (4, 4, 4), "min_distance": 9}
    table = discover(volumes, features, load, criterion="any", **settings)
    box_of = {volume.image: (np.array(volume.body_box), np.array(volume.shape)) for volume in volumes}
    for c, item in enumerate(table.references):
        (low, high), shape = box_of[item["image"]]
        for earlier in table.references[:c]:
            (other_low, other_high), _ = box_of[earlier["image"]]
            part = (np.array(earlier["origin"]) + 2 - other_low) / (other_high - other_low)
            mapped = np.clip(np.floor(low + part * (high - low) - 2 + 0.5), 0, shape - 4)
            assert np.linalg.norm(mapped - item["origin"]) >= 9


def test_one_volume_at_a_time_and_references_alone(world):
    volumes, features, load = world()
    table = discover(volumes, features, load, criterion="any", **{**SMALL, "min_distance": 1})
    assert load.most == 1
    assert [volumes[i].image for i in load.asked] == [item["image"] for item in table.references]


def test_volumes_that_have_changed(world):
    volumes, features, load = world()
    load.arrays = noise(16, (20, 18, 15))
    with pytest.raises(VolumeError, match=r"nii\.gz: must have the shape \(20, 18, 14\) .*found \(20, 18, 15\)"):
        discover(volumes, features, load, criterion="any", **SMALL)
    load.arrays = noise(16) * 2000 - 1000
    with pytest.raises(IntensityRangeError, match=r"nii\.gz: values must be in \[0, 1\].*found -9"):
        discover(volumes, features, load, criterion="any", **SMALL)
    load.arrays = noise(16) * np.nan
    with pytest.raises(IntensityRangeError, match="nan"):
        discover(volumes, features, load, criterion="any", **SMALL)
