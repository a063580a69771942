"""Slices as images: back and forth, by loops over voxels, and with MONAI's slice-wise inferer."""

import itertools

import pytest
import torch
from monai.inferers import SliceInferer

from medgenesis.transforms.functional.slabs import from_display, take_slab, to_display


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_voxel_of_a_slab(axis):
    volume = torch.arange(4 * 5 * 6).reshape(4, 5, 6)
    slab = take_slab(volume, axis, [-1, 2, 9])
    for k, (row, column) in itertools.product(range(3), itertools.product(*map(range, slab.shape[1:]))):
        place = [min(max(place, 0), volume.shape[axis] - 1) for place in (-1, 2, 9)][k]
        up = volume.shape[2] - 1 - row
        where = {0: (place, column, up), 1: (column, place, up), 2: (column, row, place)}[axis]
        assert slab[k, row, column] == volume[where]
    assert slab.untyped_storage().data_ptr() != volume.untyped_storage().data_ptr()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_taken_down_again(axis):
    planes = torch.rand(2, 3, 5, 7)
    assert to_display(planes, axis).shape == (2, 3, 7, 5)
    assert torch.equal(from_display(to_display(planes, axis), axis), planes)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_inferer_sees_what_a_slab_is(axis):
    volume, seen = torch.rand(4, 5, 6), []

    def network(planes):
        seen.extend(to_display(planes, axis))
        return planes

    size = [side for k, side in enumerate(volume.shape) if k != axis]
    SliceInferer(roi_size=size, spatial_dim=axis, sw_batch_size=3, progress=False)(volume[None, None], network)
    assert len(seen) == volume.shape[axis]
    assert all(torch.equal(one, take_slab(volume, axis, [place])) for place, one in enumerate(seen))
