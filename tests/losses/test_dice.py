"""Dice of two masks, against a loop over their voxels."""

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
