"""The embedding of a volume against a loop over its windows."""

import csv

import nibabel
import numpy as np
import pytest
import torch
from monai.data import Dataset, MetaTensor

from medgenesis.data import preprocessing
from medgenesis.inference import SlabInferer, embed_volume, embed_volumes
from medgenesis.networks import ResNet25D, UNet3D


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return UNet3D(width=2)


def slowly(network, volume, size):
    """Windows side by side; what lies outside the volume is 0."""
    counts = [-(-side // wanted) for side, wanted in zip(volume.shape[1:], size, strict=True)]
    whole = np.zeros((1, *(n * s for n, s in zip(counts, size, strict=True))), dtype=np.float32)
    whole[(slice(None), *(slice(side) for side in volume.shape[1:]))] = volume
    vectors = []
    network.eval()
    for where in np.ndindex(*counts):
        at = [slice(i * s, (i + 1) * s) for i, s in zip(where, size, strict=True)]
        bottleneck = network.encoder(torch.from_numpy(whole[(slice(None), *at)].copy())[None])[-1]
        vectors.append(bottleneck[0].detach().numpy().mean(axis=(1, 2, 3)))
    return np.mean(vectors, axis=0)


@pytest.mark.parametrize("shape", [(16, 16, 8), (32, 16, 24), (20, 17, 11), (9, 40, 8)])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_mean_over_windows_that_do_not_overlap(network, shape, batch_size):
    volume = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    found = embed_volume(network.train(), torch.from_numpy(volume), (16, 16, 8), batch_size)
    assert network.training
    assert found.shape == (network.encoder.out_channels,) and found.dtype == np.float32
    np.testing.assert_allclose(found, slowly(network, volume, (16, 16, 8)), rtol=1e-4, atol=1e-6)


def test_a_volume_with_meta_data_gives_the_same(network):
    volume = torch.rand(1, 20, 17, 11)
    plain = embed_volume(network, volume, (16, 16, 8))
    assert (embed_volume(network, MetaTensor(volume, affine=torch.eye(4)), (16, 16, 8)) == plain).all()


def test_an_encoder_that_returns_one_map_alone():
    """No known network: its encoder's answer is the map, not a list of maps, whose last would be the last window."""
    torch.manual_seed(0)
    network = torch.nn.Module()
    network.encoder = torch.nn.Conv3d(1, 3, 8, stride=8)
    volume = torch.rand(1, 32, 16, 8)
    with torch.no_grad():
        wanted = network.encoder(volume[None])[0].mean(dim=(1, 2, 3))
    np.testing.assert_allclose(embed_volume(network, volume, (16, 16, 8)), wanted, rtol=1e-5)


def test_a_network_of_slabs_is_shown_every_slice():
    torch.manual_seed(0)
    network = ResNet25D("resnet18")
    volume = torch.rand(1, 40, 33, 3)
    found = embed_volume(network, volume, SlabInferer(3, 2, batch_size=2))
    assert network.training and found.shape == (512,)
    network.eval().requires_grad_(False)
    planes = [volume[0, :, :, place].T for place in (0, 0, 1, 2, 2)]  # the first and the last are repeated
    wanted = [network(torch.stack(planes[place : place + 3])[None])[0] for place in range(3)]
    np.testing.assert_allclose(found, sum(wanted) / 3, rtol=1e-4, atol=1e-6)


def test_the_table_has_a_line_a_volume(network, tmp_path):
    rng = np.random.default_rng(0)
    for name in "abc":
        image = nibabel.Nifti1Image(rng.random((16, 18, 12), dtype=np.float32), np.eye(4))
        nibabel.save(image, tmp_path / f"{name}.nii.gz")
    one = [{"image": str(tmp_path / f"{name}.nii.gz")} for name in "ab"]
    volumes = Dataset(one, preprocessing(intensity="unit"))
    vectors = embed_volumes(network, volumes, (16, 16, 8), tmp_path / "out" / "table.csv")
    assert vectors.shape == (2, network.encoder.out_channels)
    for item, vector in zip(volumes, vectors, strict=True):
        np.testing.assert_array_equal(vector, embed_volume(network, item["image"], (16, 16, 8)))
    with (tmp_path / "out" / "table.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["image", *(f"f{i}" for i in range(vectors.shape[1]))]
    assert [row[0] for row in rows] == ["a", "b"]  # no folders that both share: those can tell who it is
    np.testing.assert_allclose([[float(v) for v in row[1:]] for row in rows], vectors, rtol=1e-5)


def test_files_that_are_channels_have_the_first_ones_name(tmp_path):
    names = [str(tmp_path / f"{name}.npy") for name in "ab"]
    for name in names:
        np.save(name, np.random.default_rng(0).random((16, 16, 8), dtype=np.float32))
    volumes = Dataset([{"image": names}], preprocessing(intensity="unit"))
    embed_volumes(UNet3D(in_channels=2, width=2), volumes, (16, 16, 8), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().splitlines()[1].startswith("a,")
