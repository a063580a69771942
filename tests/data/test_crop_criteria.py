"""The published lung rule against a triple loop; air, padding and body by closed forms."""

import numpy as np
import pytest
import torch

from medgenesis.data import CROP_CRITERIA, ForegroundCriterion, LungCriterion, RandAcceptedCropd
from medgenesis.data.crop_criteria import get_criterion


def _mean_d(volume, depth):
    """The published test, voxel by voxel: d = 1, 1/2 or 0."""
    t = (-150 + 1000) / 2000
    total = 0.0
    width, height, slices = volume.shape
    for x in range(width):
        for y in range(height):
            for z in range(depth):
                if volume[x, y, z] >= t:
                    total += 1
                elif z + 1 < slices and volume[x, y, z + 1] >= t:
                    total += 0.5
    return total / (width * height * depth)


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.8])
def test_lung_rule_against_the_triple_loop(share, extra):
    rng = np.random.default_rng(int(share * 100))
    cube = np.where(rng.random((7, 6, 5 + extra)) < share, rng.uniform(0.425, 1, (7, 6, 5 + extra)), 0.1)
    cube = cube.astype(np.float32)
    expected = max(0.0, _mean_d(cube, 5) - 0.15)
    assert LungCriterion().distance_to_acceptance(torch.from_numpy(cube), 5) == pytest.approx(expected, abs=1e-6)


def test_air_and_padding_are_no_lung():
    lung, padding = torch.full((8, 8, 8), 0.07), torch.zeros(8, 8, 8)  # -860 HU; -2000 HU, clipped
    assert LungCriterion().distance_to_acceptance(lung, 8) == 0
    assert LungCriterion().distance_to_acceptance(padding, 8) == pytest.approx(1 - 0.4)
    assert LungCriterion(max_air=1.0).distance_to_acceptance(padding, 8) == 0  # as published
    half = torch.cat([lung, padding])
    assert LungCriterion().distance_to_acceptance(half, 8) == pytest.approx(0.1)


def test_foreground_and_any():
    cube = torch.zeros(10, 10, 10)
    cube[:3] = 0.5
    assert ForegroundCriterion().distance_to_acceptance(cube, 10) == pytest.approx(0.2)
    assert ForegroundCriterion(min_fraction=0.3).distance_to_acceptance(cube, 10) == pytest.approx(0, abs=1e-6)
    assert CROP_CRITERIA["any"].distance_to_acceptance(cube, 10) == 0


def test_names():
    assert get_criterion("lung") == LungCriterion() and get_criterion(ForegroundCriterion(0.1)).threshold == 0.1
    with pytest.raises(ValueError, match="lung, foreground, any.*'liver'"):
        RandAcceptedCropd("image", 4, "liver")
