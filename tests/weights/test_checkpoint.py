"""Checkpoint files: whole or not at all, and what cannot be read says so."""

import resource

import numpy as np
import pytest
import torch

from medgenesis.errors import CheckpointError
from medgenesis.weights import read_checkpoint, save_checkpoint

CONTENT = {"network": {"a": torch.arange(6.0).view(2, 3)}, "epoch": 3, "loss": 0.5, "name": "x", "none": None}


def test_round_trip_makes_folders_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "new" / "folder" / "last.pt"
    save_checkpoint(CONTENT, path)
    save_checkpoint(CONTENT, str(path))  # over the old one, and a path as text
    found = read_checkpoint(path)
    assert torch.equal(found["network"].pop("a"), CONTENT["network"]["a"])
    assert {**found, "network": None} == {**CONTENT, "network": None}
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]


def break_after_a_part(monkeypatch, error):
    def save(obj, file):
        file.write(b"half a checkpoint")
        raise error

    monkeypatch.setattr(torch, "save", save)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("writer: unexpected pos")])
def test_disk_full_keeps_the_old_file_and_leaves_nothing_half_written(tmp_path, monkeypatch, error):
    path = tmp_path / "last.pt"
    save_checkpoint(CONTENT, path)
    break_after_a_part(monkeypatch, error)
    with pytest.raises(CheckpointError, match=r"last\.pt: .*could not be written.*Free disk space"):
        save_checkpoint({"epoch": 4}, path)
    monkeypatch.undo()
    assert read_checkpoint(path)["epoch"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_an_interrupt_while_saving_leaves_nothing_half_written(tmp_path, monkeypatch):
    break_after_a_part(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(CONTENT, tmp_path / "last.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_really_stops_taking_bytes(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(CONTENT, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError, match="could not be written"):
            save_checkpoint({"a": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_checkpoint(path)["epoch"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="choose a folder that can be written"):
        save_checkpoint(CONTENT, tmp_path / "file" / "last.pt")


@pytest.mark.parametrize("name", ["missing.pt", "."])
def test_missing(tmp_path, name):
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("zipped", [True, False])
def test_truncated(tmp_path, share, zipped):
    path = tmp_path / "last.pt"
    torch.save({"a": torch.rand(10_000)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match=r"last\.pt: .*truncated, damaged or of another kind"):
        read_checkpoint(path)


def test_other_kinds_of_file(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "code.pt").write_text("text")  # its letters are codes of pickle that end in an IndexError
    (tmp_path / "bytes.pt").write_bytes(bytes(range(256)) * 9)
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    for path in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match="truncated, damaged or of another kind"):
            read_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_are_not_built(tmp_path, zipped):
    torch.save({"net": torch.nn.Linear(2, 2)}, tmp_path / "o.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict") as caught:
        read_checkpoint(tmp_path / "o.pt")
    assert "weights_only" not in str(caught.value)
