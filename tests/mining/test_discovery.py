"""Discovery beside slow loops, on volumes whose answer is known."""

import copy
import itertools
import logging
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.mining_world import SIZE, SMALL, by_class, landmarks, noise

from medgenesis.data import ForegroundCriterion
from medgenesis.errors import VolumeError
from medgenesis.mining import PatternTable, discover, nearest


def nearest_patients(volumes, features, section, reference, count):
    """Every volume sorted by distance, the first of each patient kept; the reference's patient by the reference."""
    order = []
    for i, volume in enumerate(volumes):
        if volume.section == section:
            order.append((float(np.linalg.norm(features[i].astype(float) - features[reference])), i))
    chosen, patients = [], set()
    if section == "training":
        chosen, patients = [(reference, 0.0)], {volumes[reference].patient}
    for distance, i in sorted(order):
        if volumes[i].patient not in patients:
            patients.add(volumes[i].patient)
            chosen.append((i, distance))
    return chosen[:count]


def check_against_loops(table, volumes, features, criterion, arrays, settings):
    """Everything that can be said of a table by voxel, without knowing what was drawn."""
    number = {volume.image: i for i, volume in enumerate(volumes)}
    references = table.references
    assert [item["class"] for item in references] == list(range(settings["classes"]))
    assert len({item["patient"] for item in references}) == settings["classes"]
    for one, other in itertools.combinations(references, 2):
        apart = sum((a - b) ** 2 for a, b in zip(one["origin"], other["origin"], strict=True)) ** 0.5
        assert apart >= settings["min_distance"]
    for section, count in (("training", settings["train_patients"]), ("validation", settings["validation_patients"])):
        for c, items in by_class(table.items(section)).items():
            reference = number[references[c]["image"]]
            expected = nearest_patients(volumes, features, section, reference, count)
            assert [number[item["image"]] for item in items] == [i for i, _ in expected]
            np.testing.assert_allclose([item["distance"] for item in items], [d for _, d in expected], atol=1e-6)
            assert all(item["origin"] == references[c]["origin"] for item in items)
            assert all(item["size"] == list(SIZE) for item in items)
            assert [item["reference"] for item in items] == [section == "training"] * 1 + [False] * (count - 1)
    for item in references:
        start, depth = item["origin"], SIZE[2]
        spans = [slice(a, a + b) for a, b in zip(start, (*SIZE[:2], depth + 1), strict=True)]
        assert (
            criterion.distance_to_acceptance(torch.from_numpy(arrays[number[item["image"]]][tuple(spans)]), depth) == 0
        )


@pytest.mark.parametrize("seed", range(5))
def test_a_table_by_voxel(world, seed):
    volumes, features, load = world()
    table = discover(volumes, features, load, criterion="foreground", seed=seed, **SMALL)
    check_against_loops(table, volumes, features, ForegroundCriterion(), load.arrays, SMALL)
    assert table.volumes == volumes and table.settings["coordinates"] == "voxel"
    table.validate()


def test_patients_with_several_volumes(world):
    patients = [f"p{i}" for i in (0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 1, 2, 8, 9, 10, 10)]
    volumes, features, load = world(patients=patients, validation=4)
    load.arrays[:, :10] *= 0.01  # half of each volume is air
    criterion, references = ForegroundCriterion(min_fraction=0.8), []
    for seed in range(6):
        table = discover(volumes, features, load, criterion=criterion, seed=seed, **SMALL)
        check_against_loops(table, volumes, features, criterion, load.arrays, SMALL)
        references += [volumes.index(next(v for v in volumes if v.image == item["image"])) for item in table.references]
    assert set(references) & {0, 8, 9} == {0, 8, 9}  # any volume of a patient may be the reference


def test_equal_features_still_put_the_reference_first(world):
    volumes, features, load = world()
    table = discover(volumes, np.zeros_like(features), load, criterion="any", **SMALL)
    for items in by_class(table.training).values():
        assert items[0]["reference"] and len({item["patient"] for item in items}) == 7


def test_planted_groups_are_found(world):
    """Features of two far groups: a class holds patients of its reference's group alone."""
    volumes, features, load = world(24, validation=8)
    group = np.arange(24) % 2
    features = features + 100 * group[:, None]
    settings = {**SMALL, "train_patients": 8, "validation_patients": 4, "classes": 10, "min_distance": 2}
    table = discover(volumes, features, load, criterion="any", **settings)
    number = {volume.image: i for i, volume in enumerate(volumes)}
    seen = set()
    for items in [*by_class(table.training).values(), *by_class(table.validation).values()]:
        groups = {int(group[number[item["image"]]]) for item in items}
        assert len(groups) == 1
        seen |= groups
    assert seen == {0, 1}


def test_same_seed_same_table_other_seed_other_table(world):
    volumes, features, load = world()
    settings = {**SMALL, "criterion": "any", "multi_resolution": True}
    tables = [discover(volumes, features, load, seed=seed, **settings) for seed in (3, 3, 4)]
    assert tables[0] == tables[1]
    assert tables[0].training != tables[2].training


def test_each_class_has_draws_of_its_own(world):
    volumes, features, load = world()
    table = discover(volumes, features, load, criterion="any", **{**SMALL, "classes": 10, "min_distance": 0})
    assert len({tuple(item["origin"]) for item in table.references}) >= 9


def test_a_class_does_not_depend_on_how_many_follow(world):
    volumes, features, load = world()
    few = discover(volumes, features, load, criterion="any", **{**SMALL, "classes": 2})
    many = discover(volumes, features, load, criterion="any", **SMALL)
    assert few.training == [item for item in many.training if item["class"] < 2]


@pytest.mark.parametrize("multi_resolution", [False, True])
def test_a_resumed_run_equals_an_uninterrupted_one(world, multi_resolution):
    volumes, features, load = world()
    settings = {**SMALL, "criterion": "any", "multi_resolution": multi_resolution, "seed": 7}
    partial = []
    whole = discover(
        volumes, features, load, on_class=partial.append, **settings
    )  # each table is whole, and stays as it is
    assert [table.num_classes for table in partial] == [1, 2, 3, 4, 5] and partial[-1] == whole
    for table in partial:
        before = copy.deepcopy(table)
        load.asked.clear()
        assert discover(volumes, features, load, resume=table, **settings) == whole
        assert len(load.asked) == 5 - table.num_classes  # what was found is not looked for again
        assert table == before


def test_a_run_is_resumed_from_its_file(world, tmp_path, monkeypatch):
    volumes, features, load = world()
    path = tmp_path / "patterns.json"
    settings = {**SMALL, "criterion": "any"}

    def save(table):
        table.save(path)
        if table.num_classes == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        discover(volumes, features, load, on_class=save, **settings)
    monkeypatch.setattr(Path, "exists", lambda _: True)
    partial = PatternTable.load(path)
    monkeypatch.undo()
    assert partial.num_classes == 2
    whole = discover(volumes, features, load, **settings)
    assert discover(volumes, features, load, resume=partial, **settings) == whole


def test_features_are_held_once_beside_those_given(infos, loader):
    features = np.random.default_rng(0).random((3000, 6144), dtype=np.float32)
    volumes, load = infos([(8, 8, 8)] * 3000, validation=600), loader(noise(1, (8, 8, 8)).repeat(3000, 0))
    settings = {"classes": 2, "train_patients": 3, "validation_patients": 2, "cube_size": (4, 4, 4), "min_distance": 1}
    nearest(features[:9], features[:1], 1)  # what it imports does not count
    tracemalloc.start()
    discover(volumes, features, load, criterion="any", **settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.8 * features.nbytes  # one copy, split by section, and what a search needs at a time


def test_what_is_logged_names_no_patient(world, caplog):
    volumes, features, load = world()
    with caplog.at_level(logging.INFO):
        discover(volumes, features, load, criterion="any", **SMALL)
    assert [f"class {c} of 5" in caplog.text for c in range(1, 6)] == [True] * 5
    assert not any(volume.patient in caplog.text for volume in volumes)


def test_rescaled_cubes(world):
    volumes, features, load = world(noise(10, (24, 22, 10)), validation=3)
    settings = {**SMALL, "classes": 4, "cube_size": (16, 16, 6), "min_distance": 1, "criterion": "any"}
    plain = discover(volumes, features, load, **settings)
    table = discover(volumes, features, load, multi_resolution=True, **settings)
    assert [item for item in table.training if item["resolution"] == 1] == plain.training
    assert table.validation == plain.validation
    found = {resolution: by_class(table.training, resolution) for resolution in (1, 2, 3)}
    for c in range(4):
        for items in zip(found[1][c], found[2][c], found[3][c], strict=True):
            assert len({item["image"] for item in items}) == 1
            for item in items[1:]:
                assert 12 <= item["size"][0] == item["size"][1] <= 20 and item["size"][2] == 6
                assert item["origin"][2] == items[0]["origin"][2] and not item["reference"]
                assert all(a - 3 <= b <= a + 2 for a, b in zip(items[0]["origin"][:2], item["origin"][:2], strict=True))
                assert all(a + b <= c for a, b, c in zip(item["origin"], item["size"], (24, 22, 10), strict=True))
    assert len({tuple(item["size"]) for item in found[2][0]}) > 1  # drawn for each patient
    assert any(a["origin"] != b["origin"] for a, b in zip(found[2][0], found[3][0], strict=True))


def test_rescaled_cubes_that_fit_nowhere_are_left_out_and_counted(world, caplog):
    volumes, features, load = world(noise(10, (16, 16, 6)), validation=0)
    settings = {
        **SMALL,
        "classes": 1,
        "cube_size": (16, 16, 6),
        "validation_patients": 0,
        "criterion": "any",
        "tries": 1,
    }
    with caplog.at_level(logging.INFO):
        table = discover(volumes, features, load, multi_resolution=True, **settings)
    table.validate()
    left_out = 3 * 7 - len(table.training)
    assert left_out > 0 and f"{left_out} rescaled fit nowhere" in caplog.text
    assert len(by_class(table.training)[0]) == 7


def test_relative_to_the_body_the_same_organ_is_cut(world):
    arrays, boxes = landmarks()
    volumes, features, load = world(arrays, validation=5, boxes=boxes)
    organ = ForegroundCriterion(threshold=0.8, min_fraction=0.99)
    settings = {**SMALL, "cube_size": (4, 4, 4), "min_distance": 2}
    table = discover(volumes, features, load, criterion=organ, **settings)
    assert table.settings["coordinates"] == "body"
    array_of = dict(zip((volume.image for volume in volumes), arrays, strict=True))
    for item in table.training + table.validation:
        cube = array_of[item["image"]][tuple(slice(a, a + 4) for a in item["origin"])]
        assert cube.shape == (4, 4, 4)
        assert (cube > 0.8).mean() > 0.5  # a voxel of rounding at each face


def test_cubes_moved_inside_are_counted(world, caplog):
    """The last half of the bodies is cut off in all volumes but one."""
    arrays = [np.full((10, 10, 10), 0.5, np.float32)] * 6 + [np.full((10, 10, 20), 0.5, np.float32)]
    boxes = [((0, 0, 0), (10, 10, 10))] * 6 + [((0, 0, 16), (10, 10, 20))]
    volumes, features, load = world(arrays, validation=0, boxes=boxes)
    with caplog.at_level(logging.INFO):
        table = discover(
            volumes, features, load, classes=7, train_patients=7, validation_patients=0, cube_size=(4, 4, 4),
            criterion="any", min_distance=0, coordinates="body",
        )  # fmt: skip
    table.validate()
    images = [volume.image for volume in volumes]
    for c, reference in enumerate(table.references):
        low, high = boxes[images.index(reference["image"])]
        part = (reference["origin"][2] + 2 - low[2]) / (high[2] - low[2])  # of the centre along the last axis
        moved = 0
        for array, (first, behind) in zip(arrays, boxes, strict=True):
            start = math.floor(first[2] + part * (behind[2] - first[2]) - 2 + 0.5)
            moved += not 0 <= start <= array.shape[2] - 4
        assert f"class {c + 1} of 7: " in caplog.text and f"; {moved} cubes moved" in caplog.text.splitlines()[c]


def test_small_volumes_stop_or_are_left_out(world, caplog):
    arrays = [*noise(6), noise(1, (5, 18, 14))[0], *noise(6, seed=1)]
    volumes, features, load = world(arrays, validation=5)
    with pytest.raises(VolumeError, match=r"006\.nii\.gz: .*found shape \(5, 18, 14\)"):
        discover(volumes, features, load, criterion="any", **SMALL)
    with caplog.at_level(logging.WARNING):
        table = discover(volumes, features, load, criterion="any", on_error="skip", **SMALL)
    assert "006.nii.gz" in caplog.text
    assert table.volumes == [*volumes[:6], *volumes[7:]]
    assert not any("006" in item["image"] for item in table.training + table.validation)
    kept = [i for i in range(13) if i != 6]
    check_against_loops(
        table, table.volumes, features[kept], ForegroundCriterion(min_fraction=0), [arrays[i] for i in kept], SMALL
    )
    assert {volumes[i].image for i in load.asked} >= {item["image"] for item in table.references}


def test_no_validation_when_none_is_asked_for(world):
    volumes, features, load = world(8, validation=0)
    table = discover(volumes, features, load, criterion="any", **{**SMALL, "validation_patients": 0})
    assert table.validation == [] and isinstance(table, PatternTable)
