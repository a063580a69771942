"""Checkpoint files: whole or not at all, and what cannot be read says so."""

import argparse
import resource
import zipfile

import numpy as np
import pytest
import torch

from medgenesis.errors import CheckpointError
from medgenesis.storage.checkpoint import read_checkpoint, save_checkpoint

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


def fail_writing(monkeypatch, error):
    """As torch's writer does: the error of the file is swallowed, another one takes its place."""

    class Full:
        def __init__(self, file):
            pass

        def write(self, data):
            raise error

    def save(obj, file):
        file.file = Full(file.file)
        try:
            file.write(b"half a checkpoint")
        except OSError:
            raise RuntimeError("[enforce fail at inline_container.cc:858] . unexpected pos 64 vs 0") from None

    monkeypatch.setattr(torch, "save", save)


@pytest.mark.parametrize("hidden", [True, False])
def test_disk_full_keeps_the_old_file_and_leaves_nothing_half_written(tmp_path, monkeypatch, hidden):
    path = tmp_path / "last.pt"
    save_checkpoint(CONTENT, path)
    full = OSError(28, "No space left on device")
    (fail_writing if hidden else break_after_a_part)(monkeypatch, full)
    with pytest.raises(CheckpointError, match=r"last\.pt: .*cannot be written.*Free disk space"):
        save_checkpoint({"epoch": 4}, path)
    monkeypatch.undo()
    assert read_checkpoint(path)["epoch"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: device-side assert triggered"), TypeError("no pickle")])
def test_another_failure_is_not_told_as_a_full_disk(tmp_path, monkeypatch, error):
    path = tmp_path / "last.pt"
    save_checkpoint(CONTENT, path)
    break_after_a_part(monkeypatch, error)
    with pytest.raises(
        CheckpointError, match=rf"last\.pt: cannot be written .*{error}.*disk is not the cause"
    ) as raised:
        save_checkpoint({"epoch": 4}, path)
    assert "Free" not in str(raised.value)
    assert read_checkpoint(path)["epoch"] == 3


def test_what_cannot_be_pickled(tmp_path):
    with pytest.raises(CheckpointError, match="disk is not the cause"):
        save_checkpoint({"rate": lambda epoch: epoch}, tmp_path / "last.pt")
    assert list(tmp_path.iterdir()) == []


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
        with pytest.raises(CheckpointError, match=r"last\.pt: cannot be written \(File too large\)"):
            save_checkpoint({"a": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_checkpoint(path)["epoch"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="file: must be a folder; found a file"):
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
    with pytest.raises(CheckpointError, match=r"last\.pt: .*(truncated, damaged or of another kind|an empty file)"):
        read_checkpoint(path)


def test_a_damaged_weight_is_found_by_its_checksum(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint({"a": torch.rand(1000), "b": torch.rand(1000)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # sees nothing
    with pytest.raises(CheckpointError, match=r"last.pt: must be whole; found its member .*/data/. damaged \(Bad CRC"):
        read_checkpoint(path)


def test_a_bomb(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data/0", bytes(2**21))
    monkeypatch.setenv("MEDGENESIS_MAX_GIB", "0.001")
    with pytest.raises(CheckpointError, match="bomb.pt: may unpack to at most 0.001 GiB"):
        read_checkpoint(tmp_path / "bomb.pt")
    monkeypatch.setenv("MEDGENESIS_MAX_GIB", "much")
    with pytest.raises(CheckpointError, match="MEDGENESIS_MAX_GIB: must be a number of GiB above 0; found 'much'"):
        read_checkpoint(tmp_path / "bomb.pt")


def test_other_kinds_of_file(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "code.pt").write_text("text")  # its letters are codes of pickle that end in an IndexError
    (tmp_path / "bytes.pt").write_bytes(bytes(range(256)) * 9)
    for path in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match="truncated, damaged or of another kind"):
            read_checkpoint(path)


def zip_of(*names):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"x")

    return write


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title>", "a web page .*Download it anew"),
        (b"\xef\xbb\xbf\n<html lang='en'>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code>", "an XML document"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 5\n", "git-lfs.*git lfs pull"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file, as Keras writes"),
        (b"\x1f\x8b\x08" + bytes(9), "a gzip archive"),
        (b'{"error": "not found"}', "JSON text"),
        (b"\x40\0\0\0\0\0\0\0" + b'{"a":{"dtype":"F32"}}', "a safetensors file.*torch.save"),
        (b"", "an empty file"),
        (lambda path: np.save(path.with_suffix(".npy"), np.zeros(3)) or path.with_suffix(".npy").rename(path), "NumPy"),
        (lambda path: torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path), "TorchScript.*which holds code"),
        (zip_of("Genesis.pt", "readme.txt"), r"a zip archive of other files \(Genesis.pt, readme.txt\). Unpack"),
    ],
)
def test_what_stands_in_the_place_of_a_checkpoint_is_said(tmp_path, content, words):
    path = tmp_path / "o.pt"
    path.write_bytes(content) if isinstance(content, bytes) else content(path)
    with pytest.raises(CheckpointError, match=f"o.pt: must be a checkpoint; found .*{words}"):
        read_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_options_of_a_command_line_and_arrays_are_built(tmp_path, zipped):
    """VoCo's and MONAI's checkpoints hold the options of their programs; others curves."""
    content = {"args": argparse.Namespace(lr=0.1, tag=["a"]), "curve": np.arange(3.0), "a": torch.ones(2)}
    torch.save(content, tmp_path / "o.pt", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "o.pt")
    assert found["args"] == content["args"] and np.array_equal(found["curve"], content["curve"])


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_are_not_built(tmp_path, zipped):
    torch.save({"net": torch.nn.Linear(2, 2)}, tmp_path / "o.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict") as caught:
        read_checkpoint(tmp_path / "o.pt")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, np.int64])
def test_numpy_scalars_become_plain_numbers(tmp_path, kind, zipped):
    """Published checkpoints hold their best loss so."""
    allowed = set(torch.serialization.get_safe_globals())
    content = {"best": kind(3.25), "state_dict": {"a": torch.arange(3.0)}}
    torch.save(content, tmp_path / "o.pt", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "o.pt")
    assert found["best"] == kind(3.25).item() and type(found["best"]) is type(kind(0).item())
    assert torch.equal(found["state_dict"]["a"], torch.arange(3.0))
    assert set(torch.serialization.get_safe_globals()) == allowed  # for this read alone


def test_what_the_user_allows_stays_allowed(tmp_path):
    save_checkpoint(CONTENT, tmp_path / "o.pt")
    with torch.serialization.safe_globals([np.dtype]):
        read_checkpoint(tmp_path / "o.pt")
        assert np.dtype in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_numpy_scalars_of_either_numpy(tmp_path, module):
    torch.save({"best": np.float64(0.125)}, tmp_path / "o.pt", _use_new_zipfile_serialization=False)
    raw = (tmp_path / "o.pt").read_bytes()
    assert raw.count(b"core.multiarray\nscalar") == 1
    raw = raw.replace(b"numpy._core.multiarray", module).replace(b"numpy.core.multiarray", module)
    (tmp_path / "o.pt").write_bytes(raw)
    assert read_checkpoint(tmp_path / "o.pt") == {"best": 0.125}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("foreign", "words"),
    [
        (torch.nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        (np.array([print, len]), "o.pt"),
        (print, "found print"),
        (np.str_("x"), "o.pt"),
        (np.datetime64(3, "s"), "o.pt"),
    ],
)
def test_other_objects_beside_numpy_scalars_are_not_built(tmp_path, foreign, words, zipped):
    content = {"best": np.float64(1), "a": torch.zeros(2), "foreign": foreign}
    torch.save(content, tmp_path / "o.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(tmp_path / "o.pt")
