"""Volumes corrupted and restored cube by cube, and the files that show them."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import Dataset, MetaTensor
from PIL import Image
from torch import nn

from medgenesis.data import preprocessing
from medgenesis.handlers.preview import pretext_triples
from medgenesis.inference import restoration_error, restore_volume, restore_volumes
from medgenesis.methods import MaskedAutoencoder
from medgenesis.transforms import RandGenesis, RandMaskBlocks

SIZE = (16, 16, 8)


def genesis(seed=3):
    return RandGenesis(rates={"flip": 0.0}).set_random_state(seed)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.BatchNorm3d(2), nn.Dropout(0.5), nn.Conv3d(2, 1, 1))


def tile_starts(shape):
    """First voxels of the cubes: side by side, the last one moved back to end with the volume."""
    axes = [[min(i, max(side - s, 0)) for i in range(0, max(side, 1), s)] for side, s in zip(shape, SIZE, strict=True)]
    return [(x, y, z) for x in axes[0] for y in axes[1] for z in axes[2]]


@pytest.mark.parametrize("shape", [(32, 16, 16), (20, 33, 11), (16, 16, 8)])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_each_cube_is_corrupted_and_restored_as_in_pretraining(shape, batch_size):
    volume = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    net = network().train()
    corrupted, restored = restore_volume(net, torch.from_numpy(volume), genesis(), SIZE, batch_size)
    assert net.training
    net.eval()
    wanted, answers = np.full_like(volume, np.nan), np.full_like(volume, np.nan)
    corrupt = genesis()
    for start in tile_starts(shape):
        at = (slice(None), *(slice(first, first + s) for first, s in zip(start, SIZE, strict=True)))
        cube = np.asarray(corrupt(volume[at])[0])
        wanted[at] = cube
        answers[at] = net(torch.from_numpy(cube)[None])[0].detach().numpy()
    np.testing.assert_array_equal(corrupted.numpy(), wanted)
    np.testing.assert_allclose(restored.numpy(), answers, atol=1e-6)
    assert not np.array_equal(wanted, volume)


def test_a_volume_smaller_than_the_cube():
    volume = torch.rand(1, 10, 16, 5)
    identity = nn.Conv3d(1, 1, 1, bias=False)
    nn.init.ones_(identity.weight)
    seen = []

    def keep(cube):
        seen.append(torch.as_tensor(np.asarray(cube)).clone())
        return cube * 0.5, cube

    corrupted, restored = restore_volume(identity, MetaTensor(volume), keep, SIZE)
    assert torch.equal(corrupted, volume * 0.5) and torch.equal(restored, volume * 0.5)
    assert [cube.shape for cube in seen] == [(1, *SIZE)]
    assert torch.equal(seen[0][:, :10, :, :5], volume) and seen[0].sum() == pytest.approx(volume.sum().item())
    assert type(corrupted) is torch.Tensor


def test_what_is_hidden_alone_is_restored():
    """The method is told what is hidden; what is not stays as it is."""
    volume, hide, seen = torch.rand(1, 20, 16, 8) + 0.5, RandMaskBlocks(block_size=8).set_random_state(0), []

    def corrupt(cube):
        masked = hide(cube)
        seen.append((np.asarray(masked), hide.params.expand()))
        return masked, cube, hide.params.expand()

    method = MaskedAutoencoder(network()).eval()
    corrupted, restored = restore_volume(method, volume, corrupt, SIZE)
    wanted = torch.full_like(volume, torch.nan)
    for start, (masked, hidden) in zip(tile_starts((20, 16, 8)), seen, strict=True):
        at = (slice(None), *(slice(first, first + s) for first, s in zip(start, SIZE, strict=True)))
        answer = method.network(torch.from_numpy(masked)[None])[0].detach().numpy()
        wanted[at] = torch.from_numpy(np.where(hidden, answer, masked))
    torch.testing.assert_close(restored, wanted, rtol=0, atol=1e-6)
    assert torch.equal(corrupted[corrupted != 0], volume[corrupted != 0]) and (corrupted == 0).any()


def write(path, seed, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).random((20, 18, 12), dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return {"image": str(path)}


def test_files_lie_on_the_standard_grid_in_the_patients_place(tmp_path):
    """A voxel's place in the patient is where the scan has it, though its axes have been turned to LPS."""
    affine = np.array([[0, 1.5, 0, -20], [2.0, 0, 0, 30], [0, 0, -3.0, 7], [0, 0, 0, 1]])
    record = write(tmp_path / "scan.v2.nii.gz", 0, affine)
    volumes = Dataset([record], preprocessing(intensity="unit"))
    out = tmp_path / "out"
    restore_volumes(network(), volumes, genesis(), SIZE, out)
    names = ["scan.v2.png", *(f"scan.v2_{kind}.nii.gz" for kind in ("corrupted", "original", "restored"))]
    assert sorted(path.name for path in out.glob("scan*")) == sorted(names)
    corrupted, restored = restore_volume(network(), volumes[0]["image"], genesis(), SIZE)
    scan = nibabel.load(record["image"])
    place = np.linalg.inv(scan.affine)
    for kind, wanted in (("original", volumes[0]["image"]), ("corrupted", corrupted), ("restored", restored)):
        image = nibabel.load(out / f"scan.v2_{kind}.nii.gz")
        assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
        np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), np.asarray(wanted)[0])
        assert sitk.ReadImage(str(out / f"scan.v2_{kind}.nii.gz")).GetSize() == image.shape
    original = nibabel.load(out / "scan.v2_original.nii.gz")
    for voxel in ((0, 0, 0), (3, 5, 7), (17, 19, 11)):
        source = np.rint(place @ original.affine @ [*voxel, 1])[:3].astype(int)
        assert original.get_fdata()[voxel] == pytest.approx(scan.get_fdata()[tuple(source)])
    image = volumes[0]["image"].as_tensor()[None]
    drawing = pretext_triples({"target": image, "image": corrupted[None]}, restored[None])
    np.testing.assert_array_equal(np.asarray(Image.open(out / "scan.v2.png")), drawing)


def test_every_volume_has_files_of_its_own(tmp_path):
    records = [write(tmp_path / f"p{i}" / "ct.nii.gz", i, np.eye(4)) for i in range(2)]
    records.append(write(tmp_path / "1.2.840.1.nii", 2, np.eye(4)))
    records.append(write(tmp_path / "1.2.840.2.nii", 3, np.eye(4)))
    volumes = Dataset(records, preprocessing(intensity="unit"))
    restore_volumes(network(), volumes, genesis(), SIZE, tmp_path / "out")
    for number, name in enumerate(("p0/ct", "p1/ct", "1.2.840.1", "1.2.840.2")):
        saved = nibabel.load(tmp_path / "out" / f"{name}_original.nii.gz").get_fdata(dtype=np.float32)
        np.testing.assert_array_equal(saved, volumes[number]["image"][0].numpy())
    assert len([path for path in (tmp_path / "out").rglob("[!.]*") if path.is_file()]) == 16


def test_the_error_of_a_restoration():
    """Of a network that gives back what it sees, it is what the corruption has changed; of a slab, the middle's."""
    volume = torch.rand(1, 16, 16, 8)
    halves = nn.Conv3d(1, 1, 1, bias=False)
    nn.init.ones_(halves.weight)
    error = restoration_error(halves, volume, lambda cube: (cube * 0.5, cube), SIZE)
    assert error == pytest.approx(float((volume * 0.5).square().mean()), rel=1e-5)
    middle = nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        middle.weight.copy_(torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1))
    slab = torch.rand(3, 16, 16)
    assert restoration_error(middle, slab, lambda one: (one + 0.1, one), (16, 16)) == pytest.approx(0.01, rel=1e-4)
