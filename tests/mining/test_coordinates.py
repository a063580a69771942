"""The same place in another volume, and at other scales: sides, places, and what fits nowhere."""

import logging

import numpy as np
import pytest

from medgenesis.errors import VolumeError
from medgenesis.mining import CoordinateSystem, choose_coordinates
from medgenesis.mining.coordinates import draw_rescaled


def test_by_voxel_the_place_is_the_voxel(infos):
    first, second = infos([(20, 20, 20)] * 2)
    system = choose_coordinates([first, second], (8, 8, 4))
    assert system == CoordinateSystem("voxel", (8, 8, 4))
    shared = system.share((3, 12, 16), first)
    assert system.place(shared, second) == ((3, 12, 16), False)


def test_relative_to_the_body_by_hand(infos):
    """A body of 20 voxels from 10 on, and one of 40 from 5 on: the middle of one is the middle of the other."""
    small, large = infos([(40, 40, 40), (60, 60, 60)], boxes=[((10, 10, 10), (30, 30, 30)), ((5, 5, 5), (45, 45, 45))])
    system = CoordinateSystem("body", (8, 8, 4))
    shared = system.share((16, 11, 18), small)  # centres at 20, 15, 20: a half, a quarter, a half
    assert shared == (0.5, 0.25, 0.5)
    assert system.place(shared, large) == ((21, 11, 23), False)  # centres at 25, 15, 25
    assert system.place(system.share((21, 11, 23), large), small) == ((16, 11, 18), False)


def test_a_place_returns_to_itself(infos):
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape = rng.integers(12, 60, 3)
        first = rng.integers(0, shape // 2)
        behind = rng.integers(first + 1, shape + 1)
        size = rng.integers(1, 12, 3)
        (volume,) = infos([tuple(shape.tolist())], boxes=[(first, behind)])
        origin = tuple(rng.integers(0, shape - size + 1).tolist())
        system = CoordinateSystem("body", tuple(size.tolist()))
        assert system.place(system.share(origin, volume), volume) == (origin, False)


@pytest.mark.parametrize("edge, expected", [((0, 0, 0), (0, 0, 0)), ((92, 92, 96), (12, 12, 16))])
def test_what_would_leave_a_volume_is_moved_inside_and_told(infos, edge, expected):
    whole, cropped = infos(
        [(100, 100, 100), (20, 20, 20)], boxes=[((20, 20, 20), (80, 80, 80)), ((0, 0, 0), (20, 20, 20))]
    )
    system = CoordinateSystem("body", (8, 8, 4))
    assert system.place(system.share(edge, whole), cropped) == (expected, True)


def test_auto_looks_at_the_shapes(infos):
    assert choose_coordinates(infos([(20, 20, 20)] * 3), (8, 8, 4)).mode == "voxel"
    assert choose_coordinates(infos([(20, 20, 20), (20, 20, 21)]), (8, 8, 4)).mode == "body"
    assert choose_coordinates(infos([(20, 20, 20)] * 3), (8, 8, 4), "body").mode == "body"


def test_by_voxel_shapes_must_be_equal(infos):
    volumes = infos([(20, 20, 20), (20, 20, 20), (20, 21, 20), (9, 9, 9)])
    with pytest.raises(VolumeError, match=r"000\.nii\.gz.*002\.nii\.gz.*coordinates=\"body\""):
        choose_coordinates(volumes, (8, 8, 4), "voxel")


@pytest.mark.parametrize("mode", ["auto", "voxel"])
@pytest.mark.parametrize("axis", range(3))
def test_spacings_may_differ_by_five_per_cent(infos, mode, axis):
    def spaced(*values):
        return infos(
            [(20, 20, 20)] * len(values),
            spacings=[tuple(value if i == axis else 1.0 for i in range(3)) for value in values],
        )

    choose_coordinates(spaced(1.0, 1.05, 1.02), (8, 8, 4), mode)
    with pytest.raises(VolumeError, match=r"001\.nii\.gz.*002\.nii\.gz.*spacing_mm"):  # 3 % each from the first
        choose_coordinates(spaced(1.0, 0.97, 1.03), (8, 8, 4), mode)


def test_who_says_body_accepts_other_spacings(infos, caplog):
    volumes = infos([(20, 20, 20), (30, 30, 30)], spacings=[(1, 1, 1), (2, 1, 1)])
    with pytest.raises(VolumeError, match="spacing_mm"):
        choose_coordinates(volumes, (8, 8, 4), "auto")
    with caplog.at_level(logging.WARNING):
        assert choose_coordinates(volumes, (8, 8, 4), "body").mode == "body"
    assert "001.nii.gz" in caplog.text


@pytest.mark.parametrize(
    "box, message",
    [
        (None, "need its body box"),
        (((5, 5, 5), (5, 9, 9)), "body box must lie"),
        (((0, 0, 0), (20, 20, 22)), "body box must lie"),
        (((-1, 0, 0), (20, 20, 20)), "body box must lie"),
    ],
)
def test_a_body_box_that_cannot_be(infos, box, message):
    volumes = infos([(20, 20, 20), (20, 20, 21)], boxes=[((0, 0, 0), (20, 20, 20)), box])
    with pytest.raises(VolumeError, match=f"001.*{message}"):
        choose_coordinates(volumes, (8, 8, 4))


def test_an_unknown_mode(infos):
    with pytest.raises(ValueError, match="auto, voxel, body; found 'mm'"):
        choose_coordinates(infos([(20, 20, 20)]), (8, 8, 4), "mm")


def by_loop(origin, size, shape, rng, tries):
    """The published rule for a cube of 64 x 64, written out."""
    for _ in range(tries):
        side = rng.randint(50, 80)
        dx, dy = rng.randint(-10, 10, size=2)
        x, y = origin[0] + dx, origin[1] + dy
        if x >= 0 and y >= 0 and x + side <= shape[0] and y + side <= shape[1]:
            return (x, y, origin[2]), (side, side, size[2])
    return None


@pytest.mark.parametrize("origin", [(40, 40, 9), (0, 0, 0), (64, 60, 32), (3, 58, 1)])
def test_the_published_rule(origin):
    ours, theirs = np.random.RandomState(0), np.random.RandomState(0)
    for tries in [1, 2, 200] * 100:
        found = draw_rescaled(origin, (64, 64, 32), (128, 128, 64), ours, tries)
        assert found == by_loop(origin, (64, 64, 32), (128, 128, 64), theirs, tries)


def test_sides_and_jitter_reach_both_ends():
    rng = np.random.RandomState(0)
    drawn = [draw_rescaled((50, 50, 5), (64, 64, 32), (200, 200, 64), rng) for _ in range(3000)]
    assert {size[0] for _, size in drawn} == set(range(50, 80))
    assert {origin[0] - 50 for origin, _ in drawn} == set(range(-10, 10))
    assert {origin[1] - 50 for origin, _ in drawn} == set(range(-10, 10))
    assert all(origin[2] == 5 and size[2] == 32 and size[0] == size[1] for origin, size in drawn)
    steps = np.array([origin[:2] for origin, _ in drawn])
    assert abs(np.corrcoef(steps.T)[0, 1]) < 0.1  # x and y are drawn apart


def test_other_cubes_are_scaled_alike():
    rng = np.random.RandomState(0)
    drawn = [draw_rescaled((50, 50, 5), (32, 16, 8), (200, 200, 64), rng) for _ in range(2000)]
    sizes, steps = np.array([size for _, size in drawn]), np.array([origin for origin, _ in drawn]) - (50, 50, 5)
    assert (sizes[:, 0].min(), sizes[:, 0].max()) == (25, 40)  # 25 to 39.5, a half goes to the even side
    assert (sizes[:, 1].min(), sizes[:, 1].max()) == (12, 20)  # 12.5 to 19.75
    assert (steps[:, 0].min(), steps[:, 0].max()) == (-5, 4)
    assert (steps[:, 1].min(), steps[:, 1].max()) == (-2, 2)
    assert (sizes[:, 2] == 8).all() and (steps[:, 2] == 0).all()
    assert min(draw_rescaled((0, 0, 0), (1, 1, 1), (9, 9, 9), rng)[1]) == 1


def test_what_fits_nowhere():
    assert draw_rescaled((0, 0, 0), (64, 64, 32), (49, 200, 64), np.random.RandomState(0)) is None
