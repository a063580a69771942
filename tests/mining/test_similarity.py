"""Patterns told from noise, beside loops over all pairs of cubes."""

import itertools

import numpy as np
import pytest

from medgenesis.data.crop_criteria import ForegroundCriterion
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining import discover, pattern_similarity

SIZE = (8, 8, 4)
SETTINGS = {
    "classes": 4,
    "train_patients": 6,
    "validation_patients": 3,
    "cube_size": SIZE,
    "criterion": "any",
    "min_distance": 6,
}


def anatomy(count, shape=(24, 24, 12), groups=1, spread=0.02, seed=0):
    """Every patient of a group shows the same texture, but for a little noise."""
    rng = np.random.default_rng(seed)
    bodies = rng.random((groups, *shape))
    volumes = [(1 - spread) * bodies[i % groups] + spread * rng.random(shape) for i in range(count)]
    return np.array(volumes, np.float32)


@pytest.fixture
def mined(infos, loader):
    def make(arrays, features=None, validation=4, **settings):
        volumes = infos([array.shape for array in arrays], validation)
        if features is None:
            features = np.random.default_rng(1).normal(size=(len(arrays), 5))
        load = loader(arrays)
        return discover(volumes, features, load, **{**SETTINGS, **settings}), loader(arrays)

    return make


def small(array, origin, size):
    """A cube averaged over equal blocks, block by block."""
    cube = array[tuple(slice(a, a + b) for a, b in zip(origin, SIZE, strict=True))].astype(float)
    step = [a // b for a, b in zip(SIZE, size, strict=True)]
    return np.array([
        cube[tuple(slice(i * s, (i + 1) * s) for i, s in zip(index, step, strict=True))].mean()
        for index in itertools.product(*(range(side) for side in size))
    ])  # fmt: skip


def correlation(one, other):
    """0 with a constant cube."""
    return 0.0 if np.ptp(one) == 0 or np.ptp(other) == 0 else np.corrcoef(one, other)[0, 1]


def by_loop(table, arrays, section, size):
    number = {volume.image: i for i, volume in enumerate(table.volumes)}
    items = [item for item in table.items(section) if item["resolution"] == 1]
    cubes = [small(arrays[number[item["image"]]], item["origin"], size) for item in items]
    within, between = {}, []
    retrieval = []
    chance = []
    for i, one in enumerate(items):
        others = 0
        same = 0
        best, winners = -2.0, []
        for j, other in enumerate(items):
            if one["patient"] == other["patient"]:
                continue
            value = correlation(cubes[i], cubes[j])
            if value >= best:
                winners = [*winners, other["class"]] if value == best else [other["class"]]
                best = value
            others, same = others + 1, same + (one["class"] == other["class"])
            if one["class"] == other["class"]:
                within.setdefault(one["class"], []).append(value)
            else:
                between.append(value)
        chance.append(same / others)
        retrieval.append(winners.count(one["class"]) / len(winners))
    per = [float(np.mean(values)) for _, values in sorted(within.items())]
    return per, float(np.mean(between)), float(np.mean(retrieval)), float(np.mean(chance))


@pytest.mark.parametrize("section", ["training", "validation"])
def test_beside_loops(mined, section):
    arrays = anatomy(14, groups=3, spread=0.5)
    table, load = mined(arrays, multi_resolution=True)
    found = pattern_similarity(table, load, section=section, size=(4, 2, 2))
    per, between, retrieval, chance = by_loop(table, arrays, section, (4, 2, 2))
    np.testing.assert_allclose(found.per_class, per, atol=1e-5)
    np.testing.assert_allclose(
        [found.within, found.between, found.retrieval, found.chance],
        [np.mean(per), between, retrieval, chance],
        atol=1e-5,
    )


def test_anatomy_is_told_from_noise(mined):
    table, load = mined(anatomy(16))
    found = pattern_similarity(table, load)
    assert found.within > 0.95 and found.retrieval == 1
    assert abs(found.between) < 0.3 and abs(found.random_coordinates) < 0.3
    assert found.other_patients > 0.95  # all patients are alike: the features have nothing to add
    noise = np.random.default_rng(2).random((16, 24, 24, 12), dtype=np.float32)
    table, load = mined(noise)
    found = pattern_similarity(table, load)
    numbers = [found.within, found.between, found.other_patients, found.random_coordinates]
    assert np.abs(numbers).max() < 0.1 and found.retrieval < 0.6


def test_what_the_features_gain_is_seen(mined):
    """Two kinds of patients, which the features tell apart: other patients are of the same kind half the time."""
    arrays = anatomy(28, groups=2)
    features = np.random.default_rng(3).normal(size=(28, 5)) + 50 * (np.arange(28) % 2)[:, None]
    table, load = mined(arrays, features)
    found = pattern_similarity(table, load)
    assert found.within > 0.95
    assert found.other_patients < 0.8


def test_random_coordinates_obey_the_rule(mined):
    """Only one place of each volume is body, so every cube that the rule draws shows the same."""
    arrays = np.zeros((12, 16, 16, 8), np.float32)
    arrays[:, 6:14, 5:13, 2:6] = 0.1 + 0.8 * anatomy(12, SIZE)
    body = ForegroundCriterion(min_fraction=1.0)
    table, load = mined(arrays, criterion=body, min_distance=0, tries=4000, classes=2)
    assert pattern_similarity(table, load, criterion=body, tries=4000).random_coordinates > 0.95
    assert pattern_similarity(table, load, criterion="any").random_coordinates < 0.8
    with pytest.raises(ValueError, match="rule: must be one of"):
        pattern_similarity(table, load)


def test_other_patients_are_cut_at_the_same_part_of_the_body(mined, infos, loader):
    """Bodies of two sizes: every patient's cube at a class's coordinate shows the same, wherever it lies."""
    arrays = [np.pad(body, ((i, 6 - i), (6 - i, i), (i, 6 - i))) for i, body in enumerate(anatomy(7))]
    arrays = [array[: 30 - (i == 0)] for i, array in enumerate(arrays)]  # shapes differ, bodies do not
    boxes = [((i, 6 - i, i), (i + 24, 30 - i, i + 12)) for i in range(7)]
    volumes = infos([array.shape for array in arrays], 0, boxes=boxes)
    load = loader(arrays)
    settings = {
        **SETTINGS,
        "train_patients": 4,
        "validation_patients": 0,
        "criterion": ForegroundCriterion(min_fraction=1.0),
    }
    table = discover(volumes, np.random.default_rng(0).normal(size=(7, 3)), load, **settings)
    assert table.settings["coordinates"] == "body"
    assert pattern_similarity(table, load, criterion="any").other_patients > 0.95


def test_volumes_are_read_once_and_one_is_held(mined):
    table, load = mined(anatomy(16))
    pattern_similarity(table, load)
    assert load.asked == sorted(set(load.asked)) and load.most == 1


def test_the_same_seed_gives_the_same_numbers(mined):
    table, load = mined(anatomy(16, groups=3, spread=0.5))
    first, second, other = (pattern_similarity(table, load, per_class=3, seed=seed) for seed in (0, 0, 1))
    assert first == second and first != other


def test_classes_of_one_cube_have_no_similarity_within(mined):
    table, load = mined(anatomy(16))
    found = pattern_similarity(table, load, per_class=1)
    assert np.isnan(found.within) and np.isnan(found.per_class).all() and found.retrieval == 0
    assert np.isfinite(found.between)


def test_constant_cubes_are_like_nothing(mined):
    table, load = mined(np.full((16, 24, 24, 12), 0.7, np.float32))
    found = pattern_similarity(table, load)
    assert found.within == found.between == found.other_patients == 0
    assert found.retrieval == pytest.approx(found.chance)


def test_retrieval_does_not_depend_on_how_classes_are_numbered(mined):
    """One class of air, one of tissue: to find air by air is luck, whichever class has the lower number."""
    arrays = anatomy(10)
    table, load = mined(arrays, classes=2, train_patients=8, validation=0, validation_patients=0, min_distance=12)
    place_of = {volume.image: i for i, volume in enumerate(table.volumes)}
    for item in table.training:
        if item["class"] == 0:
            x, y, z = (slice(a, a + b) for a, b in zip(item["origin"], SIZE, strict=True))
            load.arrays[place_of[item["image"]]][x, y, z] = 0
    found = []
    for _ in range(2):
        measured = pattern_similarity(table, load)
        assert measured.retrieval == pytest.approx(by_loop(table, load.arrays, "training", SIZE)[2])
        found.append(measured.retrieval)
        for item in table.training:
            item["class"] = 1 - item["class"]
    assert found[0] == pytest.approx(found[1]) and 0.5 < found[0] < 0.9


def test_a_volume_that_has_become_smaller_is_no_number(mined, loader):
    arrays = anatomy(16)
    table, _ = mined(arrays)
    with pytest.raises(VolumeError, match="must hold the cube"):
        pattern_similarity(table, loader(arrays[:, :12]))


def test_a_table_by_hand_that_does_not_say_enough(mined):
    table, load = mined(anatomy(16))
    del table.settings["coordinates"]
    with pytest.raises(DatalistError, match="^coordinates: .*found None"):
        pattern_similarity(table, load)
    del table.settings["rule"]
    with pytest.raises(ValueError, match="rule: must be one of"):
        pattern_similarity(table, load)


def test_a_section_without_cubes(mined):
    table, load = mined(anatomy(12), validation=0, validation_patients=0)
    with pytest.raises(ValueError, match="cubes of resolution 1; found none in 'validation'"):
        pattern_similarity(table, load, section="validation")
    with pytest.raises(ValueError, match="found 'test'"):
        pattern_similarity(table, load, section="test")
