"""Dice of two masks, against a loop over their voxels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays

from medgenesis.losses import hard_dice

masks = arrays(bool, (3, 4))


@given(masks, masks)
def test_as_counted_voxel_by_voxel(a, b):
    both = sum(1 for x, y in zip(a.ravel(), b.ravel(), strict=True) if x and y)
    either = sum(map(int, a.ravel())) + sum(map(int, b.ravel()))
    expected = 2 * both / either if either else None
    assert hard_dice(a, b) == expected
    assert hard_dice(torch.from_numpy(a), torch.from_numpy(b)) == expected


def test_masks_of_other_shapes():
    with pytest.raises(ValueError, match=r"one, other: must have the same shape; found \(4,\) and \(1,\)"):
        hard_dice(torch.ones(4, dtype=torch.bool), torch.ones(1, dtype=torch.bool))


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
def test_numbers_are_no_masks(kind):
    """1 and 255 have one bit in common."""
    one, other = np.array([1, 1, 0], kind), np.array([255, 255, 0], kind)
    tensors = torch.from_numpy(one), torch.from_numpy(other)
    for pair in ((one, other), (one > 0, other), tensors):
        with pytest.raises(ValueError, match="one, other: must be masks of True and False; found .* Compare"):
            hard_dice(*pair)
