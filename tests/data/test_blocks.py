"""Volumes compressed in blocks: the same bits, whatever region is asked for, and no more read than it needs."""

import zlib

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SpatialCrop

from medgenesis.data import blocks
from medgenesis.data.blocks import BlockedVolume, can_be_compressed, compress_blocks, is_compressed

AFFINE = torch.tensor([[0.7, 0, 0, 5], [0, -0.7, 0.1, -3], [0, 0, 1.25, 8], [0, 0, 0, 1]], dtype=torch.float64)


def same_bits(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert found.numpy().tobytes() == expected.contiguous().numpy().tobytes()


def stepped(shape, values=700):
    """As a CT on its own grid: whole Hounsfield units, scaled."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, values, shape).astype(np.float32) / 2000)


@pytest.mark.parametrize(
    "shape", [(1, 33, 64, 31), (2, 40, 33, 1), (1, 200, 190), (1, 5), (3, 20, 17, 18, 2), (1, 9, 8, 7, 6, 9)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.uint8, torch.int16, torch.bool])
@pytest.mark.parametrize("values", [1, 3, 700, 10**6])
def test_what_comes_back_is_what_was_kept(shape, dtype, values):
    volume = (stepped(shape, values) * 2000 / 7).to(dtype)
    same_bits(BlockedVolume(compress_blocks(volume)).whole(), volume)


def test_signed_zeros_and_what_is_no_number_keep_their_bits():
    volume = torch.tensor([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-42]).repeat(1000).reshape(1, 20, 300)
    same_bits(BlockedVolume(compress_blocks(volume)).whole(), volume)


@pytest.mark.parametrize("turned", [False, True])
def test_any_region_is_that_of_the_tensor(turned):
    volume = stepped((2, 50, 70, 40))
    volume = volume.permute(0, 3, 1, 2) if turned else volume
    kept, rng = BlockedVolume(compress_blocks(volume)), np.random.default_rng(1)
    for _ in range(60):
        near = [int(rng.integers(0, side)) for side in volume.shape]
        region = tuple(slice(a, a + int(rng.integers(0, side))) for a, side in zip(near, volume.shape, strict=True))
        same_bits(kept[region], volume[region])  # some end beyond the last voxel, some are empty


def test_only_the_blocks_that_a_region_touches_are_read():
    volume = stepped((1, 96, 96, 96))
    packed = compress_blocks(volume)
    ends = [0, *packed["ends"].tolist()]
    middle = slice(ends[13], ends[14])  # of 3 x 3 x 3
    kept = packed["blocks"][middle].clone()
    packed["blocks"][:] = 255
    packed["blocks"][middle] = kept
    region = (slice(0, 1), slice(32, 64), slice(40, 60), slice(33, 35))
    same_bits(BlockedVolume(packed)[region], volume[region])
    with pytest.raises(Exception, match=r"Error|incorrect|invalid"):
        BlockedVolume(packed)[(slice(0, 1), slice(31, 64), slice(40, 60), slice(33, 35))]


def test_a_crop_lies_where_monai_puts_it():
    volume = MetaTensor(stepped((1, 40, 50, 36)), affine=AFFINE, meta={"filename_or_obj": "a.nii"})
    start, end = (3, 10, 20), (35, 42, 36)
    expected = SpatialCrop(roi_start=start, roi_end=end)(volume)
    found = BlockedVolume(compress_blocks(volume)).crop(start, end)
    same_bits(found.as_tensor(), expected.as_tensor())
    assert torch.equal(found.affine, expected.affine) and torch.equal(found.pixdim, volume.pixdim)
    assert torch.equal(BlockedVolume(compress_blocks(volume)).pixdim, volume.pixdim)
    assert found.meta["filename_or_obj"] == "a.nii"
    whole = BlockedVolume(compress_blocks(volume)).whole()
    assert torch.equal(whole.affine, volume.affine) and whole.meta["filename_or_obj"] == "a.nii"


def test_a_block_of_more_values_than_its_places_can_name_has_no_table(monkeypatch):
    volume = (torch.arange(70**3) % 66000).reshape(1, 70, 70, 70)
    monkeypatch.setattr(blocks, "_SIDES", {3: 70})
    same_bits(BlockedVolume(compress_blocks(volume)).whole(), volume)


@pytest.mark.parametrize("region", [(slice(0, 1), slice(3, 63), slice(1, 60), slice(0, 64)), (slice(None),) * 4])
def test_blocks_at_hand_are_no_more_than_said(monkeypatch, region):
    monkeypatch.setattr(blocks, "_AT_HAND", 9)
    monkeypatch.setattr(blocks, "_SIDES", {3: 32})
    volume = stepped((1, 96, 96, 64))
    kept = BlockedVolume(compress_blocks(volume))
    for _ in range(2):
        same_bits(kept[region], volume[region])
        assert len(kept._at_hand) <= 9


@pytest.mark.parametrize("value", [{"blocks": 3}, torch.zeros(3), torch.zeros(1, 0), torch.zeros(1, 2).bfloat16(), 7])
def test_what_is_no_volume_is_told(value):
    assert not is_compressed(value) and not can_be_compressed(value)


def test_values_of_a_scan_on_its_own_grid_take_less_than_half():
    """700 values in a noise: log2(700) = 9.5 of 32 bits would be the least."""
    volume = stepped((1, 64, 64, 64))
    size = compress_blocks(volume)["blocks"].numel()
    assert 9.45 / 32 * volume.numel() * 4 < size < 0.5 * volume.numel() * 4


def test_either_library_reads_what_the_other_wrote(monkeypatch):
    volume = stepped((1, 40, 40, 40))
    packed = compress_blocks(volume)
    monkeypatch.setattr(blocks, "_deflate", zlib)
    same_bits(BlockedVolume(packed).whole(), volume)
    written = compress_blocks(volume)
    monkeypatch.undo()
    same_bits(BlockedVolume(written).whole(), volume)
