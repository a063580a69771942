"""RandMaskBlocks against a loop over voxels, its exact count, and that all blocks are drawn alike often."""

import itertools

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import stats

from medgenesis.errors import VolumeError
from medgenesis.transforms import BatchedMaskBlocks, RandMaskBlocks, RandMaskBlocksd
from medgenesis.transforms.mask_blocks import MaskBlocksParams


@pytest.mark.parametrize(
    ("shape", "size"), [((12, 8, 10), 4), ((7, 9, 5), (2, 3, 5)), ((9, 12), (4, 5)), ((8, 8, 8), 8 - 1)]
)
def test_a_voxel_is_hidden_as_its_block_is_and_all_others_stay(shape, size):
    volume = torch.rand(2, *shape) + 1
    transform = RandMaskBlocks(0.6, size, fill=-3.0).set_random_state(1)
    out, mask, hidden = transform(volume), transform.params.expand()[0], transform.params.hidden[0]
    sides = np.broadcast_to(size, len(shape))
    for at in itertools.product(*map(range, shape)):
        block = tuple(place // side for place, side in zip(at, sides, strict=True))
        assert mask[at] == hidden[block]
        assert all(out[(c, *at)] == (-3.0 if hidden[block] else volume[(c, *at)]) for c in range(2))


@pytest.mark.parametrize(
    ("ratio", "shape", "size", "count"),
    [
        (0.75, (64, 64, 32), 16, 24),
        (0.75, (32, 32, 16), 8, 24),
        (0.6, (32, 32, 16), 16, 2),
        (0.5, (24, 8, 8), 8, 2),
        (0.01, (64, 64, 32), 16, 1),
        (0.99, (16, 16, 16), 8, 7),
    ],
)
def test_the_number_of_hidden_blocks_is_exact(ratio, shape, size, count):
    hidden = RandMaskBlocks(ratio, size).sample(np.random.default_rng(0), (50, 1, *shape)).hidden
    assert (hidden.reshape(50, -1).sum(axis=1) == count).all()


def test_every_set_of_blocks_is_alike_likely():
    hidden = RandMaskBlocks(0.5, 4).sample(np.random.RandomState(0), (6000, 1, 8, 8)).hidden.reshape(6000, 4)
    sets, counts = np.unique(hidden, axis=0, return_counts=True)
    assert len(sets) == 6 and stats.chisquare(counts).pvalue > 1e-4


def test_the_dictionary_keeps_mask_and_target_and_hides_the_same_of_all_keys():
    affine = np.diag([2.0, 3, 4, 1])
    data = {name: MetaTensor(torch.rand(2, 8, 8, 8), affine=affine) for name in ("ct", "pet")}
    transform = RandMaskBlocksd(["ct", "pet"], target_key=["whole_ct", "whole_pet"], block_size=4).set_random_state(0)
    out = transform(data)
    mask = out["mask"]
    assert mask.dtype == torch.bool and mask.shape == (1, 8, 8, 8) and np.allclose(mask.affine, affine)
    for key in data:
        assert torch.equal(out[f"whole_{key}"], data[key])
        assert torch.equal(out[key], data[key].masked_fill(mask, 0))
    never = RandMaskBlocksd("ct", prob=0.0)(data)
    assert not never["mask"].any() and torch.equal(never["ct"], data["ct"]) and "target" not in never


def test_the_mask_of_a_batch_is_in_its_params():
    batched = BatchedMaskBlocks(block_size=4).set_random_state(0)
    batch = torch.rand(3, 2, 8, 12, 8) + 1
    out = batched(batch)
    assert torch.equal(batched.params.mask("cpu")[:, None].expand_as(out), out == 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"ratio": 0},
        {"ratio": 1.0},
        {"block_size": 0},
        {"block_size": (4, 2.5, 4)},
        {"fill": float("nan")},
        {"fill": float("inf")},
    ],
)
def test_settings_out_of_range_are_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        RandMaskBlocks(**settings)


@pytest.mark.parametrize("size", [16, (4, 4)])
def test_blocks_that_do_not_fit_the_volume_are_named(size):
    with pytest.raises(VolumeError, match="block_size"):
        RandMaskBlocks(block_size=size)(torch.rand(1, 16, 16, 16))


@pytest.mark.parametrize("names", ["image", "mask", ("a", "b")])
def test_target_keys_that_do_not_fit_are_named(names):
    with pytest.raises(ValueError, match="target_key"):
        RandMaskBlocksd("image", target_key=names)


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_image_mask_and_target_share_no_memory(prob):
    volume = torch.rand(2, 1, 8, 8, 8)
    transform = RandMaskBlocksd(target_key="target", block_size=4, prob=prob)
    for out in (transform({"image": volume[0]}), transform.on_batch({"image": volume}, [3, 4])):
        before = out["target"].clone()
        assert len({out[name].untyped_storage().data_ptr() for name in ("image", "mask", "target")}) == 3
        out["image"].zero_()
        assert torch.equal(out["target"], before) and before.any()


def test_the_mask_lies_where_the_volume_lies(monkeypatch):
    asked, make = [], MaskBlocksParams.mask
    monkeypatch.setattr(MaskBlocksParams, "mask", lambda params, device: asked.append(device) or make(params, device))
    RandMaskBlocksd(block_size=4)({"image": torch.rand(1, 8, 8, 8)})
    assert asked == [torch.device("cpu")] * 2  # a device, not the word: that of the volume, of kernel and mask
