"""What mining knows of a volume, and which volumes a cube fits into."""

import logging
from pathlib import Path

import numpy as np
import pytest

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining import VolumeInfo
from medgenesis.mining.volumes import large_enough


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
    with pytest.raises(VolumeError, match=r"001\.nii\.gz.*smaller than the cube \(8, 8, 4\)"):
        large_enough(volumes, (8, 8, 4))
    with caplog.at_level(logging.WARNING):
        assert large_enough(volumes, (8, 8, 4), "skip") == [0, 2]
    assert "001.nii.gz" in caplog.text


def test_what_cannot_be(infos):
    volumes = infos([(8, 8, 4)])
    with pytest.raises(DatalistError, match="000.*twice"):
        large_enough([*volumes, *volumes], (8, 8, 4))
    with pytest.raises(ValueError, match='"stop" or "skip", got \'ignore\''):
        large_enough(volumes, (8, 8, 4), "ignore")
