"""Features beside one slow pass a volume; and what is refused, by name."""

import gc
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.mining_world import Counted, Held
from monai.data import MetaTensor
from monai.networks.nets import DynUNet
from monai.transforms import Compose
from torch import nn

from medgenesis.data import MappedDataset, preprocessing
from medgenesis.errors import DatalistError, IntensityRangeError, VolumeError
from medgenesis.mining import body_box, volume_features
from medgenesis.mining.resize import resize_whole
from medgenesis.networks import AutoEncoder3D, YNet3D

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = (16, 16, 8)


def test_each_row_is_the_mean_of_the_bottleneck_map(dataset, network, arrays):
    found = volume_features(network, dataset(), SIZE)
    assert found.vectors.shape == (4, 32) and found.vectors.dtype == np.float32
    network.eval()
    for vector, volume, array in zip(found.vectors, found.volumes, arrays, strict=True):
        whole = torch.from_numpy(array)[None]
        bottleneck = network.encoder(resize_whole(whole, SIZE)[None])[-1][0].detach().numpy()
        np.testing.assert_allclose(vector, [np.mean(channel) for channel in bottleneck], rtol=1e-4, atol=1e-6)
        assert volume.shape == array.shape and volume.body_box == body_box(whole)
    assert [volume.patient for volume in found.volumes] == ["p0", "p1", "p2", "p3"]
    assert [volume.section for volume in found.volumes] == ["training"] * 3 + ["validation"]
    assert [Path(volume.image).name for volume in found.volumes] == ["0.npy", "1.npy", "2.npy", "3.npy"]


@pytest.mark.parametrize("kind", ["batch", "instance", "ynet", "dynunet"])
def test_any_network_with_a_known_encoder_in_batches_of_any_size(dataset, kind):
    torch.manual_seed(0)
    if kind == "dynunet":
        network = DynUNet(3, 1, 1, [3, 3, 3], [1, 2, 2], [2, 2], filters=[2, 4, 6])
    else:
        network = YNet3D(width=2) if kind == "ynet" else AutoEncoder3D(1, 2, norm=kind)
    alone = volume_features(network, dataset(), SIZE)
    for batch_size in (3, 4, 9):
        found = volume_features(network, dataset(), SIZE, batch_size=batch_size)
        np.testing.assert_allclose(found.vectors, alone.vectors, rtol=1e-3, atol=1e-5)
        assert found.volumes == alone.volumes


@pytest.mark.parametrize("norm", ["batch", "batch_always"])
def test_the_network_is_not_changed(dataset, norm):
    network = AutoEncoder3D(1, 2, norm=norm).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = volume_features(network, dataset(), SIZE)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    np.testing.assert_array_equal(volume_features(network, dataset(), SIZE).vectors, first.vectors)


def test_spacing_is_that_of_the_preprocessed_volume(dataset, network):
    found = volume_features(network, dataset(spacing_mm=(2, 1, 1)), SIZE)
    assert found.volumes[0].spacing_mm == (2, 1, 1) and found.volumes[0].shape[1:] == (24, 18)


@pytest.mark.parametrize("broken", [(), (0, 1, 3)])
def test_one_volume_is_held_at_a_time(arrays, network, broken):
    held = Held(arrays * 2, broken)
    gc.disable()  # an error that waits for the collector would hold its volume
    try:
        found = volume_features(network, held, SIZE, batch_size=3, on_error="skip")
    finally:
        gc.enable()
    assert len(found.volumes) == 8 - len(broken) and held.most == 1
    assert found.volumes[0].spacing_mm == (1, 1, 1)


def test_a_mapped_data_set_gives_the_same(dataset, network, tmp_path, arrays):
    whole = volume_features(network, dataset(), SIZE)
    mapped = MappedDataset(dataset().data, preprocessing(intensity="unit"), tmp_path / "cache")
    found = volume_features(network, mapped, SIZE, path=tmp_path / "f.npz")
    np.testing.assert_array_equal(found.vectors, whole.vectors)
    assert found.volumes == whole.volumes


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_volume_that_is_not_finite_is_named_or_skipped(arrays, network, caplog, value):
    arrays[1][5, 5, 5] = value
    with pytest.raises(VolumeError, match="/1.nii: voxels must be finite"):
        volume_features(network, Held(arrays), SIZE, batch_size=4)
    found = volume_features(network, Held(arrays), SIZE, batch_size=4, on_error="skip")
    assert [volume.image for volume in found.volumes] == ["/0.nii", "/2.nii", "/3.nii"]
    assert "/1.nii" in caplog.text
    expected = volume_features(network, Held([arrays[i] for i in (0, 2, 3)]), SIZE, batch_size=3)
    np.testing.assert_array_equal(found.vectors, expected.vectors)


class Overflows(nn.Module):
    """Its own encoder, with features that are infinite for a volume above 1."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    @property
    def encoder(self):
        return self

    def get_submodule(self, target):
        return self

    def forward(self, x):
        return self.weight * x / (x.amax(dim=(1, 2, 3, 4), keepdim=True) <= 1)


def test_features_that_are_not_finite_name_the_file(arrays, caplog):
    volumes = [np.full_like(array, 0.2) for array in arrays]
    volumes[2][:] = 2
    with pytest.raises(VolumeError, match="/2.nii: features must be finite.*weights"):
        volume_features(Overflows(), Held(volumes), SIZE, batch_size=2)
    found = volume_features(Overflows(), Held(volumes), SIZE, batch_size=2, on_error="skip")
    assert [volume.image for volume in found.volumes] == ["/0.nii", "/1.nii", "/3.nii"]


def test_unusable_volumes_stop_or_are_skipped(dataset, network, tmp_path, caplog):
    np.save(dataset().data[0]["image"], np.full((9, 9, 9), 7.0))
    np.save(dataset().data[3]["image"], np.random.default_rng(0).normal(size=(16, 16, 16)))
    with pytest.raises(VolumeError, match="0.npy"):
        volume_features(network, dataset(), SIZE)
    with caplog.at_level(logging.WARNING):
        found = volume_features(network, dataset(), SIZE, on_error="skip")
    assert [Path(volume.image).name for volume in found.volumes] == ["1.npy", "2.npy"]
    assert "0.npy" in caplog.text and "3.npy" in caplog.text
    with pytest.raises(IntensityRangeError, match="3.npy"):
        volume_features(network, dataset(dataset().data[3:]), SIZE)
    with pytest.raises(VolumeError, match="found none of 1"):
        volume_features(network, dataset(dataset().data[:1]), SIZE, on_error="skip", path=tmp_path / "f.npz")
    assert not (tmp_path / "f.npz").exists()


def test_an_error_that_is_no_fault_of_the_volume_is_not_skipped(dataset, network):
    broken = dataset()
    broken.transform = Compose([Counted("image"), lambda item: item["nothing"]])
    with pytest.raises(RuntimeError):
        volume_features(network, broken, SIZE, on_error="skip")


def test_settings_and_records_are_checked(dataset, network, tmp_path):
    for wrong in ({"size": (16, 16)}, {"size": 0}, {"batch_size": 0}, {"on_error": "pass"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            volume_features(network, dataset(), **{"size": SIZE, **wrong})
    with pytest.raises(DatalistError, match="cube"):
        volume_features(network, dataset([{"image": "a.npy", "cube": 3}]), SIZE)
    plain = dataset()
    plain.transform = Compose([lambda item: item])
    with pytest.raises(ValueError, match="pickled"):
        volume_features(network, plain, SIZE, path=tmp_path / "f.npz")
    flat = Held([np.zeros((8, 8), np.float32)])
    flat.data[0]["image"] = "flat.png"
    with pytest.raises(VolumeError, match="must be"):
        volume_features(network, flat, SIZE)


def test_a_volume_without_a_body_has_no_box_and_a_warning_with_its_name(network, arrays, caplog):
    held = Held(arrays[:1])
    held.__class__ = type("Named", (Held,), {"__getitem__": lambda self, i: {"image": _named(self.arrays[i])}})
    assert volume_features(network, held, SIZE).volumes[0].body_box is None
    assert re.search("/far/away.nii.*no body.*body_threshold", caplog.text)


def test_the_body_of_a_dark_volume_is_above_a_lower_threshold(dataset, network, arrays, tmp_path, caplog):
    path, name = tmp_path / "f.npz", dataset().data[0]["image"]
    np.save(name, 0.1 * arrays[0])
    found = volume_features(network, dataset(), SIZE, path=path, body_threshold=0.02)
    lowest = [min(axis) for axis in np.nonzero(arrays[0])]
    highest = [max(axis) + 1 for axis in np.nonzero(arrays[0])]
    np.testing.assert_allclose(found.volumes[0].body_box, (lowest, highest), atol=1)
    assert not caplog.text
    found = volume_features(network, dataset(), SIZE, path=path)
    assert found.volumes[0].body_box is None and found.volumes[1].body_box is not None
    assert "body_threshold, computed anew" in caplog.text and f"{name}: must have voxels above 0.1" in caplog.text


def _named(array):
    return MetaTensor(torch.zeros((1, *array.shape)), meta={"filename_or_obj": "/far/away.nii"})
