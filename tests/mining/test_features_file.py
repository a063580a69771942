"""The file of features: what it gives back, what is not computed twice, and damage, by name."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.mining_world import Counted
from tqdm import tqdm

from medgenesis import progress
from medgenesis.errors import DatalistError, OutputError, VolumeError
from medgenesis.mining import VolumeFeatures, features, volume_features

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = (16, 16, 8)


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


def test_the_bar_reaches_its_end_also_over_skipped_and_known_volumes(dataset, network, tmp_path, monkeypatch):
    bars = []

    def shown(*args, **settings):
        bars.append(tqdm(*args, **{**settings, "disable": False, "file": io.StringIO()}))
        return bars[-1]

    monkeypatch.setattr(progress, "tqdm", shown)
    few = dataset()
    few.data = few.data[:1]
    volume_features(network, few, SIZE, path=tmp_path / "f.npz")
    np.save(dataset().data[2]["image"], np.full((9, 9, 9), 7.0))
    volume_features(network, dataset(), SIZE, path=tmp_path / "f.npz", batch_size=2, on_error="skip")
    assert [(bar.n, bar.total) for bar in bars] == [(1, 1), (4, 4)]


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
    with pytest.raises(DatalistError, match="f.npz: must be a file of volume features"):
        VolumeFeatures.load(path)
    small.save(path)
    whole = path.read_bytes()
    for broken in (b"", b"no archive", whole[: len(whole) // 2], whole[:100] + bytes(200) + whole[300:]):
        path.write_bytes(broken)
        with pytest.raises(DatalistError, match="f.npz.*Remove it, and compute them anew"):
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
    monkeypatch.setattr("medgenesis.mining.features.FORMAT", 2)
    small.save(path)
    monkeypatch.undo()
    with pytest.raises(DatalistError, match="found 2. Update"):
        VolumeFeatures.load(path)


def test_a_folder_that_cannot_be_written_keeps_what_was_there(small, tmp_path, full_disk):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file: must be a folder; found a file"):
        small.save(tmp_path / "file" / "f.npz")
    full_disk()
    with pytest.raises(OutputError, match=r"f.npz: cannot be written \(No space left on device\)") as raised:
        small.save(tmp_path / "f.npz")
    assert str(raised.value).count("cannot be written") == 1
