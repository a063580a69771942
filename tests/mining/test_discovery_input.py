"""What discovery refuses: settings, volumes, features, and tables to go on from."""

import numpy as np
import pytest
from helpers.mining_world import SMALL

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining import discover


@pytest.mark.parametrize(
    "change, message",
    [
        ({"train_patients": 12}, "^train_patients: .*found 12 .*11 patients.*Ask for 11 or fewer"),
        ({"validation_patients": 6}, "^validation_patients: .*found 6 .*0 for none.*5 patients"),
        ({"classes": 12}, "^classes: .*found 12 .*11 patients"),
    ],
)
def test_too_few_patients(world, change, message):
    volumes, features, load = world()
    with pytest.raises(DatalistError, match=message):
        discover(volumes, features, load, criterion="any", **{**SMALL, **change})
    assert not load.asked  # nothing is read before the answer is known


def test_patients_on_both_sides(world):
    volumes, features, load = world(patients=[f"p{min(i, 13)}" for i in range(16)], validation=2)
    settings = {**SMALL, "validation_patients": 1}
    with pytest.raises(DatalistError, match="both training and validation, the first p13"):
        discover(volumes, features, load, criterion="any", **settings)


def test_features_that_do_not_belong(world):
    volumes, features, load = world()
    bad = features.copy()
    bad[13, 2] = np.nan
    with pytest.raises(VolumeError, match=r"013\.nii\.gz: its feature vector must be finite; found row 13"):
        discover(volumes, bad, load, criterion="any", **SMALL)
    with pytest.raises(ValueError, match=r"one row a volume, 16; found shape \(15, 8\)"):
        discover(volumes, features[1:], load, criterion="any", **SMALL)


def test_resuming_refuses_another_beginning(world):
    volumes, features, load = world()
    settings = {**SMALL, "criterion": "any"}
    table = discover(volumes, features, load, **settings)
    for change, message in [
        ({"seed": 5}, "same seed, now 5; found 0"),
        ({"criterion": "foreground"}, "same rule, now 'foreground'; found 'any'"),
        ({"train_patients": 6}, "same train_patients, now 6; found 7"),
        ({"classes": 4}, "the 4 classes asked for; found 5"),
    ]:
        with pytest.raises(ValueError, match=message):
            discover(volumes, features, load, resume=table, **{**settings, **change})
    with pytest.raises(ValueError, match="same features"):
        discover(volumes, features + 1, load, resume=table, **settings)
    others = [*volumes[1:], volumes[0]]
    with pytest.raises(ValueError, match="other volumes"):
        discover(others, features, load, resume=table, **settings)
    table.training = [item for item in table.training if not item["reference"]]
    with pytest.raises(ValueError, match="one reference of each class"):
        discover(volumes, features, load, resume=table, **settings)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": 0},
        {"train_patients": 0},
        {"validation_patients": -1},
        {"tries": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"min_distance": float("nan")},
        {"cube_size": (6, 6)},
        {"cube_size": (6, 6, 0)},
        {"criterion": "liver"},
        {"coordinates": "mm"},
        {"on_error": "ignore"},
        {"index": "kd"},
    ],
)
def test_settings_out_of_range(world, change):
    volumes, features, load = world()
    name = next(iter(change)).replace("criterion", "rule")  # as `get_criterion` calls it
    with pytest.raises(ValueError, match=f"^{name}: must"):
        discover(volumes, features, load, **{**SMALL, "criterion": "any", **change})


def test_other_sections_are_passed_over(world):
    volumes, features, load = world()
    odd = type(volumes[0])("/scans/test.nii", "p999", "test", (1, 1, 1), (9, 9, 9))
    vectors = np.insert(features, 3, np.nan, axis=0)
    load.arrays = np.insert(load.arrays, 3, 7, axis=0)
    table = discover([*volumes[:3], odd, *volumes[3:]], vectors, load, criterion="any", **SMALL)
    load.arrays = np.delete(load.arrays, 3, axis=0)
    assert table == discover(volumes, features, load, criterion="any", **SMALL)
