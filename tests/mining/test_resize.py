"""Whole volumes at one size: beside loops over the triangle filter, and as the auto-encoder's training set."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import CopyItemsd
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, Preprocessing, RandAcceptedCropd, preprocessing
from medgenesis.engines import PretextTrainer
from medgenesis.errors import VolumeError
from medgenesis.methods import ModelsGenesis
from medgenesis.mining import ResizeVolumed
from medgenesis.mining.resize import resize_whole
from medgenesis.networks import AutoEncoder3D


def triangle(old, new):
    """Weights (new, old) of one axis, by loops: a triangle about each new voxel's centre, cut off at the border."""
    factor = old / new
    weights = np.zeros((new, old))
    for j in range(new):
        for i in range(old):
            distance = abs((i + 0.5) - (j + 0.5) * factor)
            weights[j, i] = max(0.0, 1 - distance / max(factor, 1))
        weights[j] /= weights[j].sum()
    return weights


def slow_resize(volume, size):
    for axis, new in enumerate(size, start=1):
        weights = triangle(volume.shape[axis], new)
        volume = np.moveaxis(np.tensordot(weights, volume, axes=(1, axis)), 0, axis)
    return volume


@pytest.mark.parametrize("size", [(4, 5, 3), (12, 9, 20), (4, 22, 7), (1, 1, 1), (17, 11, 13)])
def test_every_voxel_is_the_weighted_mean_of_its_neighbourhood(size):
    volume = np.random.default_rng(0).random((2, 17, 11, 13), dtype=np.float32)
    resized = resize_whole(torch.from_numpy(volume), size)
    assert resized.dtype == torch.float32 and resized.is_contiguous()
    np.testing.assert_allclose(resized.numpy(), slow_resize(volume.astype(np.float64), size), atol=2e-6)


def test_what_grows_is_interpolated_as_pytorch_does():
    volume = torch.rand((1, 6, 7, 5), generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.interpolate(volume[None], (9, 14, 11), mode="trilinear")[0]
    torch.testing.assert_close(resize_whole(volume, (9, 14, 11)), expected)


def test_stripes_finer_than_the_new_voxels_become_grey():
    """Without a filter they would alias: into all bright, all dark, or stripes that are not there."""
    volume = torch.zeros((1, 64, 16, 16))
    volume[:, ::2] = 1
    assert (resize_whole(volume, (13, 16, 16)) - 0.5).abs().max() < 0.1


@pytest.mark.parametrize("slices", [8, 32, 120])
def test_the_border_is_not_darkened_however_many_slices_there_are(slices):
    assert resize_whole(torch.ones((1, 20, 20, slices)), (8, 8, 8)).sub(1).abs().max() < 1e-6


def test_the_outer_faces_stay_where_they_are_in_the_patient():
    affine = torch.tensor([[-2.0, 0, 0, 5], [0, 0, 1.5, -7], [0, 3.0, 0, 11], [0, 0, 0, 1]], dtype=torch.float64)
    volume = MetaTensor(torch.rand((1, 20, 12, 9)), affine=affine.clone(), meta={"filename_or_obj": "a.nii"})
    resized = ResizeVolumed("image", (8, 16, 9))({"image": volume, "other": 3})
    assert resized["other"] == 3
    small = resized["image"]
    assert small.shape == (1, 8, 16, 9) and small.meta["filename_or_obj"] == "a.nii"
    for before, after in (((-0.5,) * 3, (-0.5,) * 3), ((19.5, 11.5, 8.5), (7.5, 15.5, 8.5))):
        places = [a @ torch.tensor([*p, 1.0]).double() for a, p in ((affine, before), (small.affine, after))]
        torch.testing.assert_close(*places)
    assert torch.equal(volume.affine, affine)
    assert (
        ResizeVolumed(["image", "absent"], 4, allow_missing_keys=True)({"image": volume})["image"].shape[1:] == (4,) * 3
    )


def test_bad_input():
    with pytest.raises(ValueError, match="size"):
        ResizeVolumed("image", (8, 8))
    with pytest.raises(ValueError, match="size"):
        ResizeVolumed("image", (8, 8, 0))
    flat = MetaTensor(torch.rand((1, 8, 8)), meta={"filename_or_obj": "xray.png"})
    with pytest.raises(VolumeError, match=r"xray.png.*\(1, 8, 8\)"):
        ResizeVolumed("image", 8)({"image": flat})
    with pytest.raises(KeyError):
        ResizeVolumed("image", 8)({})


def test_the_auto_encoder_trains_on_the_data_set_of_the_docstring(scans, tmp_path):
    """Image and target are the whole volume; one step of the engine moves the weights."""
    arrays = np.random.default_rng(3).random((3, 20, 24, 16), dtype=np.float32)
    volumes = scans(arrays)
    dataset = PatchDataset(
        [{"image": volume.image} for volume in volumes],
        Preprocessing([*preprocessing(intensity="unit").transforms, ResizeVolumed("image", (16, 16, 8))]),
        crop=RandAcceptedCropd("image", (16, 16, 8), criterion="any"),
        transform=CopyItemsd("image", names="target"),
        patches_per_image=1,
        cache_dir=tmp_path / "cache",
    )
    assert len(dataset) == 3
    assert all(path.stat().st_size < 20_000 for path in (tmp_path / "cache").iterdir())  # small volumes
    for i in range(3):
        sample = dataset[4, i]
        assert torch.equal(sample["image"], sample["target"])
        np.testing.assert_allclose(sample["image"][0], slow_resize(arrays[i : i + 1], (16, 16, 8))[0], atol=2e-6)
    method = ModelsGenesis(AutoEncoder3D(1, 2))
    before = [parameter.detach().clone() for parameter in method.parameters()]
    loader = DataLoader(dataset, 3, sampler=dataset.sampler(), drop_last=True)
    trainer = PretextTrainer("cpu", 1, loader, method, torch.optim.SGD(method.parameters(), 0.1))
    trainer.run()
    assert 0 < trainer.state.metrics["loss"] < 1
    assert any(not torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))
