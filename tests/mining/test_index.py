"""The index beside a slow pass over the files; what is not read twice; and damage, by name."""

import gc
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.mining_world import Counted, Held

from medgenesis.errors import DatalistError, OutputError, VolumeError
from medgenesis.mining import (
    VolumeIndex,
    body_box,
    extract_features,
    index,
    index_volumes,
    volume_features,
)
from medgenesis.mining.resize import resize_whole

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = (16, 16, 8)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def copies(folder):
    return sorted((folder / "whole").iterdir())


def test_what_is_kept_is_what_the_file_holds(dataset, arrays, folder):
    made = dataset(spacing_mm=(2, 1, 1))
    found = index_volumes(made, folder, SIZE, body_threshold=0.2)
    assert Counted.read == ["0.npy", "1.npy", "2.npy", "3.npy"]
    for i, volume in enumerate(found.volumes):
        whole = made[i]["image"]
        kept = found.read(i)
        assert volume.shape == whole.shape[1:] and volume.spacing_mm == (2, 1, 1)
        assert volume.body_box == body_box(whole, 0.2)
        assert kept.info == volume and torch.equal(kept.whole, resize_whole(whole, SIZE))
        assert torch.equal(found.whole(found.records[i])["image"], kept.whole)
    assert [volume.section for volume in found.volumes] == ["training"] * 3 + ["validation"]
    assert found.records == made.data
    read = VolumeIndex.load(folder)
    assert (read.volumes, read.settings, read.stamps) == (found.volumes, found.settings, found.stamps)


def test_no_patient_is_in_a_file_name(dataset, folder):
    index_volumes(dataset([{**dataset().data[0], "patient": "doe"}]), folder, SIZE)
    assert not any("doe" in str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_features_of_an_index_are_those_of_the_volumes(dataset, network, folder, batch_size):
    wanted = volume_features(network, dataset(), SIZE, batch_size=batch_size)
    kept = index_volumes(dataset(), folder, SIZE)
    Counted.read = []
    found = extract_features(network, kept, path=folder / "f.npz", batch_size=batch_size)
    assert Counted.read == [] and found.volumes == wanted.volumes
    np.testing.assert_array_equal(found.vectors, wanted.vectors)
    again = volume_features(network, dataset(), SIZE, path=folder / "f.npz", batch_size=batch_size)
    assert Counted.read == [], "the file of features is the same, whichever way it came about"
    np.testing.assert_array_equal(again.vectors, wanted.vectors)


def test_unchanged_files_are_not_read_again(dataset, folder, arrays):
    few = dataset()
    few.data = few.data[1:3]
    index_volumes(few, folder, SIZE)
    whole = index_volumes(dataset(), folder, SIZE)
    assert Counted.read == ["0.npy", "3.npy"]
    np.save(whole.volumes[2].image, arrays[2][:, :, :-1])
    records = [{**record, "section": "validation"} for record in dataset().data]
    found = index_volumes(dataset(records), folder, SIZE)
    assert Counted.read == ["2.npy"]
    assert found.volumes[2].shape == (22, 16, 15) and {one.section for one in found.volumes} == {"validation"}


def test_a_copy_that_is_gone_is_made_again(dataset, folder):
    index_volumes(dataset(), folder, SIZE)
    copies(folder)[0].unlink()
    index_volumes(dataset(), folder, SIZE)
    assert len(Counted.read) == 1 and len(copies(folder)) == 4


@pytest.mark.parametrize("other", [{"size": (8, 8, 8)}, {"body_threshold": 0.2}, {"spacing_mm": 2}], ids=str)
def test_other_settings_read_all_anew(dataset, folder, caplog, other):
    index_volumes(dataset(), folder, SIZE)
    spacing = {"spacing_mm": other.pop("spacing_mm")} if "spacing_mm" in other else {}
    index_volumes(dataset(**spacing), folder, **{"size": SIZE, **other})
    assert len(Counted.read) == 4
    assert f"other {next(iter(other), 'preprocessing')}, computed anew" in caplog.text


def test_what_was_indexed_before_a_stop_is_kept(dataset, folder, arrays):
    image = Path(dataset().data[2]["image"])
    image.write_bytes(b"no array")
    with pytest.raises(VolumeError, match="2.npy"):
        index_volumes(dataset(), folder, SIZE)
    assert [Path(one.image).name for one in VolumeIndex.load(folder).volumes] == ["0.npy", "1.npy"]
    skipped = index_volumes(dataset(), folder, SIZE, on_error="skip")
    assert [Path(one.image).name for one in skipped.volumes] == ["0.npy", "1.npy", "3.npy"]
    np.save(image, arrays[2])
    found = index_volumes(dataset(), folder, SIZE)
    assert Counted.read == ["2.npy"] and len(found.volumes) == 4


def test_the_file_is_written_while_the_run_goes_on(dataset, folder, monkeypatch):
    seen, save = [], VolumeIndex.save
    monkeypatch.setattr(index, "_SAVE_EVERY", -1.0)
    monkeypatch.setattr(VolumeIndex, "save", lambda self: (save(self), seen.append(len(self.volumes))))
    index_volumes(dataset(), folder, SIZE)
    assert seen == [1, 2, 3, 4, 4]


@pytest.mark.parametrize("broken", [(), (0, 1, 3)])
def test_one_volume_is_held_at_a_time(arrays, folder, broken):
    held = Held(arrays * 2, broken)
    gc.disable()  # an error that waits for the collector would hold its volume
    try:
        found = index_volumes(held, folder, SIZE, on_error="skip")
    finally:
        gc.enable()
    assert len(found.volumes) == 8 - len(broken) and held.most == 1


def test_the_small_copies_go_to_other_processes(dataset, folder):
    kept = index_volumes(dataset(), folder, SIZE)
    whole = pickle.loads(pickle.dumps(kept.whole))
    assert torch.equal(whole(kept.records[1])["image"], kept.read(1).whole)


def test_damage_is_named(dataset, folder, caplog):
    kept = index_volumes(dataset(), folder, SIZE)
    with pytest.raises(DatalistError, match="else.npy: must be in .*index.json"):
        kept.whole({"image": "/else.npy"})
    for path in copies(folder):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DatalistError, match=r"whole.*npy: must be the small copy.*Remove .*index.json"):
        kept.read(0)
    file, text = folder / "index.json", (folder / "index.json").read_text()
    for broken in ("", "[]", text[:-40], text.replace('"shape"', '"form"')):
        file.write_text(broken)
        with pytest.raises(DatalistError, match="index.json: must be an index of volumes"):
            VolumeIndex.load(folder)
    file.write_text(json.dumps({**json.loads(text), "format": 2}))
    with pytest.raises(DatalistError, match="found 2. Update"):
        VolumeIndex.load(folder)
    assert len(index_volumes(dataset(), folder, SIZE).volumes) == 4 and "Update" in caplog.text
    assert VolumeIndex.load(folder).read(0).whole.shape == (1, *SIZE)


def test_what_cannot_be_indexed(dataset, folder, tmp_path, full_disk):
    for wrong in ({"size": (16, 16)}, {"on_error": "pass"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            index_volumes(dataset(), folder, **{"size": SIZE, **wrong})
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file: must be a folder; found a file"):
        index_volumes(dataset(), tmp_path / "file", SIZE)
    np.save(dataset().data[0]["image"], np.full((9, 9, 9), np.nan))
    with pytest.raises(VolumeError, match="found none of 1"):
        index_volumes(dataset(dataset().data[:1]), folder, SIZE, on_error="skip")
    assert not (folder / "index.json").exists()
    full_disk()
    with pytest.raises(OutputError, match=r"index.json: cannot be written \(No space left on device\)") as raised:
        VolumeIndex(folder, []).save()
    assert str(raised.value).count("cannot be written") == 1
