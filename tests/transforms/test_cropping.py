"""Crops in every face: the affine leads to where the voxels come from, each of a batch to its own."""

import numpy as np
import pytest
import torch
from helpers.variants import AFFINE, build, every_variant, outputs
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch

from medgenesis.transforms import BatchedAnatomyCell, BatchedResizedCrop

SETTINGS = {"AnatomyCell": {"level": 3, "least_side": 1}, "ResizedCrop": {"size": (25, 26, 27)}}
crops = pytest.mark.parametrize("subject", SETTINGS)
SHAPE = (24, 20, 16)


def coordinates(affine, shape=SHAPE):
    """A volume (3, *shape) whose channels say where a voxel lies."""
    voxels = np.stack([*np.indices(shape), np.ones(shape)], -1)
    return MetaTensor(torch.from_numpy(np.moveaxis(voxels @ affine.T, -1, 0)[:3].copy()), affine=affine)


def assert_inner_voxels_say_where_they_are(out):
    """Enlarged linearly, voxels lie on the line between two; at the faces there is but one."""
    inner = (slice(None), *(slice(1, side - 1) if side > 2 else slice(None) for side in out.shape[1:]))
    voxels = np.stack([*np.indices((*out.shape[1:], 1)[:3]), np.ones((*out.shape[1:], 1)[:3])], -1)
    there = np.moveaxis(voxels @ out.affine.reshape(-1, 4, 4)[0].numpy().T, -1, 0)[:3].reshape(out.shape)
    np.testing.assert_allclose(out.as_tensor().numpy()[inner], there[inner], atol=1e-6)


@crops
@every_variant
def test_the_affine_follows(subject, variant):
    affines = set()
    for seed in range(5):
        transform = build(subject, variant, **SETTINGS[subject])
        transform.set_random_state(seed)
        (out,) = outputs(transform, coordinates(AFFINE))
        assert_inner_voxels_say_where_they_are(out)
        affines.add(out.affine.numpy().tobytes())
    assert len(affines) > 2


@pytest.mark.parametrize("make", [BatchedAnatomyCell, BatchedResizedCrop])
def test_each_of_a_batch_has_its_own(make):
    items = [{"image": coordinates(AFFINE + np.diag([k, 0, 0, 0]))} for k in range(4)]
    batch = next(iter(DataLoader(Dataset(items), batch_size=4)))["image"]
    before = batch.affine.clone()
    out = make(**SETTINGS[make.__name__.removeprefix("Batched")]).set_random_state(0)(batch)
    ones = decollate_batch(out)
    assert len(ones) == 4 and torch.equal(batch.affine, before)
    for one in ones:
        assert_inner_voxels_say_where_they_are(one)


@crops
def test_of_an_image_too(subject):
    settings = SETTINGS[subject] | ({"size": (25, 26)} if subject == "ResizedCrop" else {})
    for seed in range(3):
        image = coordinates(AFFINE)[:, :, :, 0]
        out = build(subject, **settings).set_random_state(seed)(MetaTensor(image.as_tensor(), affine=AFFINE))
        assert_inner_voxels_say_where_they_are(out)
