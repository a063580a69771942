"""Features beside one slow pass a volume; what is not computed twice; and what is refused, by name."""

import gc
import io
import logging
import re
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import Dataset, MetaTensor
from monai.networks.nets import DynUNet
from monai.transforms import Compose, MapTransform
from torch import nn
from tqdm import tqdm

from medgenesis.data import MappedDataset, preprocessing
from medgenesis.errors import DatalistError, IntensityRangeError, VolumeError
from medgenesis.mining import VolumeFeatures, body_box, features, volume_features
from medgenesis.mining.loading import mined_record
from medgenesis.mining.whole import resize_whole
from medgenesis.networks import AutoEncoder3D, YNet3D

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = (16, 16, 8)


class Counted(MapTransform):
    """Notes which files are read (in a class attribute, so that it is no part of the transform)."""

    read: list[str] = []

    def __call__(self, data):
        Counted.read.append(Path(data["image"]).name)
        return dict(data)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    found = []
    for shape in ((20, 24, 18), (18, 17, 30), (22, 16, 16), (16, 20, 9)):
        volume = np.zeros(shape, np.float32)
        inner = tuple(slice(2, side - 3) for side in shape)
        volume[inner] = 0.3 + 0.7 * rng.random(volume[inner].shape)
        found.append(volume)
    return found


@pytest.fixture
def dataset(scans, arrays):
    """dataset(validation=1, **preprocessing) -> data set of the arrays; what is read is counted from now on."""
    volumes = scans(arrays, validation=1)

    def make(records=None, **settings):
        Counted.read = []
        records = [mined_record(vars(volume)) for volume in volumes] if records is None else records
        steps = preprocessing(**{"intensity": "unit", **settings})
        return Dataset(records, Compose([Counted("image"), steps]))

    return make


@pytest.fixture
def network():
    torch.manual_seed(0)
    return AutoEncoder3D(1, 2)


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


class Held(Dataset):
    """Volumes without meta data, of which it is known how many are alive."""

    def __init__(self, arrays, broken=()):
        super().__init__([{"image": f"/{i}.nii"} for i in range(len(arrays))])
        self.arrays, self.broken, self.alive, self.most = arrays, broken, weakref.WeakSet(), 0

    def __getitem__(self, i):
        volume = torch.from_numpy(np.array(self.arrays[i]))[None]
        self.alive.add(volume)
        self.most = max(self.most, len(self.alive))
        try:
            if i in self.broken:
                raise VolumeError(f"/{i}.nii: broken")
        except VolumeError as error:
            raise RuntimeError("applying transform") from error
        return {"image": volume}


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


# ---- the file


def test_the_file_gives_back_the_same(dataset, network, tmp_path):
    path = tmp_path / "new" / "features"  # no suffix needed
    found = volume_features(network, dataset(), SIZE, path=path)
    read = VolumeFeatures.load(path)
    np.testing.assert_array_equal(read.vectors, found.vectors)
    assert (read.volumes, read.settings, read.stamps) == (found.volumes, found.settings, found.stamps)
    assert [entry.name for entry in path.parent.iterdir()] == ["features"]
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


def test_known_rows_are_not_computed_again(dataset, network, tmp_path):
    path = tmp_path / "f.npz"
    whole = volume_features(network, dataset(), SIZE)
    few = dataset()
    few.data = few.data[1:3]
    volume_features(network, few, SIZE, path=path)
    again = dataset()
    found = volume_features(network, again, SIZE, path=path)
    assert Counted.read == ["0.npy", "3.npy"]
    np.testing.assert_array_equal(found.vectors, whole.vectors)
    assert found.volumes == whole.volumes
    np.testing.assert_array_equal(volume_features(network, dataset(), SIZE, path=path).vectors, whole.vectors)
    assert Counted.read == []


def test_a_new_split_needs_no_new_features(dataset, network, tmp_path):
    path = tmp_path / "f.npz"
    volume_features(network, dataset(), SIZE, path=path)
    records = [{**record, "section": "validation", "patient": "x"} for record in dataset().data]
    found = volume_features(network, dataset(records), SIZE, path=path)
    assert Counted.read == []
    assert {(volume.section, volume.patient) for volume in found.volumes} == {("validation", "x")}


def test_a_changed_file_is_read_again(dataset, network, tmp_path, arrays):
    path = tmp_path / "f.npz"
    before = volume_features(network, dataset(), SIZE, path=path)
    np.save(before.volumes[2].image, arrays[2][:, :, :-1] * 0.9)
    found = volume_features(network, dataset(), SIZE, path=path)
    assert Counted.read == ["2.npy"]
    assert found.volumes[2].shape == (22, 16, 15)
    differ = (found.vectors != before.vectors).any(axis=1)
    assert differ.tolist() == [False, False, True, False]


@pytest.mark.parametrize("what", ["size", "batch_size", "weights", "running statistics", "preprocessing"])
def test_other_settings_compute_all_anew(dataset, network, tmp_path, caplog, what):
    path = tmp_path / "f.npz"
    volume_features(network, dataset(), SIZE, path=path)
    size = (16, 16, 16) if what == "size" else SIZE
    with torch.no_grad():
        if what == "weights":
            next(network.encoder.parameters()).flatten()[0] += 1e-6
        if what == "running statistics":
            network.encoder.levels[2][0].norm.running_mean[0] += 1e-6
    again = dataset(spacing_mm=1.5) if what == "preprocessing" else dataset()
    volume_features(network, again, size, path=path, batch_size=2 if what == "batch_size" else 1)
    assert len(Counted.read) == 4
    assert "computed anew" in caplog.text and what.replace("running statistics", "weights") in caplog.text


def test_what_was_computed_before_a_stop_is_kept(dataset, network, tmp_path, arrays):
    path = tmp_path / "f.npz"
    records = dataset().data
    image = Path(records[2]["image"])
    image.write_bytes(b"no array")
    with pytest.raises(VolumeError, match="2.npy"):
        volume_features(network, dataset(), SIZE, path=path)
    assert [Path(volume.image).name for volume in VolumeFeatures.load(path).volumes] == ["0.npy", "1.npy"]
    np.save(image, arrays[2])
    found = volume_features(network, dataset(), SIZE, path=path)
    assert Counted.read == ["2.npy", "3.npy"]
    np.testing.assert_array_equal(found.vectors, volume_features(network, dataset(), SIZE).vectors)


def test_the_file_is_written_while_the_run_goes_on(dataset, network, tmp_path, monkeypatch):
    """What a kill leaves: after each batch, where a minute is no time."""
    path, seen = tmp_path / "f.npz", []
    monkeypatch.setattr(features, "_SAVE_EVERY", -1.0)
    save = VolumeFeatures.save
    monkeypatch.setattr(VolumeFeatures, "save", lambda self, path: (save(self, path), seen.append(len(self.volumes))))
    volume_features(network, dataset(), SIZE, path=path)
    assert seen == [1, 2, 3, 4, 4]


def test_a_mapped_data_set_gives_the_same(dataset, network, tmp_path, arrays):
    whole = volume_features(network, dataset(), SIZE)
    mapped = MappedDataset(dataset().data, preprocessing(intensity="unit"), tmp_path / "cache")
    found = volume_features(network, mapped, SIZE, path=tmp_path / "f.npz")
    np.testing.assert_array_equal(found.vectors, whole.vectors)
    assert found.volumes == whole.volumes


# ---- bad input


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_volume_that_is_not_finite_is_named_or_skipped(arrays, network, caplog, value):
    arrays[1][5, 5, 5] = value
    with pytest.raises(VolumeError, match="/1.nii.*voxels that are not finite"):
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
    with pytest.raises(VolumeError, match="/2.nii.*not finite.*weights"):
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
    with pytest.raises(VolumeError, match="none of 1 volumes"):
        volume_features(network, dataset(dataset().data[:1]), SIZE, on_error="skip", path=tmp_path / "f.npz")
    assert not (tmp_path / "f.npz").exists()


def test_the_bar_reaches_its_end_also_over_skipped_and_known_volumes(dataset, network, tmp_path, monkeypatch):
    bars = []

    def shown(*args, **settings):
        bars.append(tqdm(*args, **{**settings, "disable": False, "file": io.StringIO()}))
        return bars[-1]

    monkeypatch.setattr(features, "tqdm", shown)
    few = dataset()
    few.data = few.data[:1]
    volume_features(network, few, SIZE, path=tmp_path / "f.npz")
    np.save(dataset().data[2]["image"], np.full((9, 9, 9), 7.0))
    volume_features(network, dataset(), SIZE, path=tmp_path / "f.npz", batch_size=2, on_error="skip")
    assert [(bar.n, bar.total) for bar in bars] == [(1, 1), (4, 4)]


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
    assert "body_threshold, computed anew" in caplog.text and f"{name}: no voxel lies above 0.1" in caplog.text


def _named(array):
    return MetaTensor(torch.zeros((1, *array.shape)), meta={"filename_or_obj": "/far/away.nii"})


# ---- VolumeFeatures


@pytest.fixture
def small(infos):
    return VolumeFeatures(np.eye(3, 5, dtype=np.float32), infos([(4, 5, 6)] * 3), {"size": [1, 2, 3]}, ["a", "b", "c"])


def test_features_are_equal_but_for_rounding(small):
    assert not small.equal
    one = np.linspace(1, 9, 5, dtype=np.float32)
    equal = np.stack([one, one * np.float32(1 + 1e-7), one])
    assert VolumeFeatures(equal, small.volumes).equal and VolumeFeatures(0 * equal, small.volumes).equal


def test_damaged_files_are_named(small, tmp_path, caplog, dataset, network):
    path = tmp_path / "f.npz"
    with pytest.raises(DatalistError, match="f.npz.*no such"):
        VolumeFeatures.load(path)
    small.save(path)
    whole = path.read_bytes()
    for broken in (b"", b"no archive", whole[: len(whole) // 2], whole[:100] + bytes(200) + whole[300:]):
        path.write_bytes(broken)
        with pytest.raises(DatalistError, match="f.npz.*compute them anew"):
            VolumeFeatures.load(path)
    np.savez(path, vectors=np.zeros((2, 3)))
    with pytest.raises(DatalistError, match="f.npz"):
        VolumeFeatures.load(path)
    assert len(volume_features(network, dataset(), SIZE, path=path).volumes) == 4  # and written anew
    assert "f.npz" in caplog.text and len(VolumeFeatures.load(path).volumes) == 4


def test_a_newer_format_and_rows_that_do_not_go_together(small, tmp_path, monkeypatch):
    path = tmp_path / "f.npz"
    VolumeFeatures(small.vectors[:2], small.volumes, small.settings, small.stamps).save(path)
    with pytest.raises(DatalistError, match=r"\(2, 5\) features of 3 volumes"):
        VolumeFeatures.load(path)
    monkeypatch.setattr("medgenesis.mining.feature_table.FORMAT", 2)
    small.save(path)
    monkeypatch.undo()
    with pytest.raises(DatalistError, match="its format is 2.*update"):
        VolumeFeatures.load(path)


def test_a_folder_that_cannot_be_written_keeps_what_was_there(small, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatalistError, match="cannot be written"):
        small.save(tmp_path / "file" / "f.npz")
