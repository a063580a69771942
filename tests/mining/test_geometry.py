"""What mining knows of a volume: plain values, the box of a body whose place is known, and whether a cube fits."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining import VolumeInfo, body_box
from medgenesis.mining.geometry import large_enough


def test_plain_values_of_any_source_compare_equal():
    plain = VolumeInfo("/a/b.nii", "1", "training", (3, 4, 5), (1.0, 1.0, 2.0), ((0, 0, 1), (3, 3, 5)))
    other = VolumeInfo(
        "/a/x/../b.nii", 1, "training", np.array([3, 4, 5]), [1, 1, 2], [np.array([0, 0, 1]), np.array([3, 3, 5])]
    )
    assert plain == other
    assert all(type(side) is int for side in other.shape)
    assert VolumeInfo("b.nii", "1", "training", (3, 4, 5), (1, 1, 2)).image == str(Path.cwd() / "b.nii")


def test_a_volume_as_large_as_the_cube_fits(infos):
    assert large_enough(infos([(8, 8, 4), (9, 8, 4)]), (8, 8, 4)) == [0, 1]


@pytest.mark.parametrize("axis", range(3))
def test_a_smaller_volume_is_named_or_skipped(infos, caplog, axis):
    small = tuple(side - (i == axis) for i, side in enumerate((8, 8, 4)))
    volumes = infos([(8, 8, 4), small, (9, 9, 9)])
    with pytest.raises(VolumeError, match=r"001\.nii\.gz.*as large as the cube \(8, 8, 4\)"):
        large_enough(volumes, (8, 8, 4))
    with caplog.at_level(logging.WARNING):
        assert large_enough(volumes, (8, 8, 4), "skip") == [0, 2]
    assert "001.nii.gz" in caplog.text


def test_what_cannot_be(infos):
    volumes = infos([(8, 8, 4)])
    with pytest.raises(DatalistError, match="000.*twice"):
        large_enough([*volumes, *volumes], (8, 8, 4))
    with pytest.raises(ValueError, match='"stop" or "skip"; found \'ignore\''):
        large_enough(volumes, (8, 8, 4), "ignore")


def ellipsoid(shape, centre, radii):
    grid = np.stack(np.meshgrid(*[np.arange(side) for side in shape], indexing="ij"), axis=-1)
    return (((grid - centre) / radii) ** 2).sum(axis=-1) <= 1


def thorax(shape=(96, 80, 48), centre=(50, 36, 24), radii=(38, 25, 60)):
    """Soft tissue with air in its middle, in noisy air; along the last axis the body leaves the volume."""
    rng = np.random.default_rng(0)
    volume = np.clip(0.02 * rng.normal(size=shape), 0, 1)
    volume[ellipsoid(shape, centre, radii)] = 0.5
    volume[ellipsoid(shape, centre, np.array(radii) / 2)] = 0.05
    return volume


def naive(mask):
    """Bounding box, axis by axis."""
    spans = []
    for axis in range(mask.ndim):
        hit = [i for i in range(mask.shape[axis]) if np.take(mask, i, axis).any()]
        spans.append((hit[0], hit[-1] + 1))
    return tuple(zip(*spans, strict=True))


def as_volume(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float32))[None]


@pytest.mark.parametrize("shape, factor", [((96, 80, 48), 1), ((145, 121, 72), 1.5)])
def test_the_box_is_that_of_the_body(shape, factor):
    centre, radii = np.array([50, 36, 24]) * factor, np.array([38, 25, 60]) * factor
    expected = naive(ellipsoid(shape, centre, radii))
    block = [max(1, side // 64) for side in shape]
    found = body_box(as_volume(thorax(shape, centre, radii)))
    for corner, wanted in zip(found, expected, strict=True):
        # the rim of an ellipsoid is thinner than what the opening keeps, so two blocks
        assert (np.abs(np.subtract(corner, wanted)) <= 2 * np.array(block)).all(), (found, expected)
    assert (found[0][2], found[1][2]) == (0, shape[2])


def test_couch_and_specks_are_not_body():
    volume = thorax()
    alone = body_box(as_volume(volume))
    volume[2:94, 66:68] = 0.6  # a couch of two voxels
    volume[50, 58:66, 20:30] = 0.6  # and what joins it to the body
    volume[1:5, 2:6, 5:9] = 0.9  # something large enough to survive the opening
    assert naive(volume > 0.1) != alone
    assert body_box(as_volume(volume)) == alone


def test_a_body_that_fills_the_volume():
    assert body_box(torch.full((1, 20, 18, 7), 0.5)) == ((0, 0, 0), (20, 18, 7))
    assert body_box(torch.full((2, 131, 18, 1), 0.5)) == ((0, 0, 0), (131, 18, 1))  # blocks of 2, the last of 1


def test_a_thin_body_is_better_than_none():
    volume = torch.zeros(1, 20, 20, 20)
    volume[0, 4:9, 5:7, 6] = 1
    assert body_box(volume) == ((4, 5, 6), (9, 7, 7))


def test_no_body_names_the_file():
    empty = MetaTensor(torch.zeros(1, 8, 8, 8), meta={"filename_or_obj": "/scans/air.nii.gz"})
    with pytest.raises(VolumeError, match="air.nii.gz: must have voxels above 0.1"):
        body_box(empty)
