"""Items that one process gives to another: nothing lost, nothing shared, no file left open."""

import multiprocessing
import os
import pickle
import tempfile
from contextlib import suppress
from multiprocessing import resource_sharer
from pathlib import Path

import numpy as np
import pytest
import torch

from medgenesis.data import preprocessing
from medgenesis.data.handing_over import InMemoryFile, packed, unpacked
from medgenesis.data.reading import read_in_order
from medgenesis.errors import VolumeError

pytestmark = pytest.mark.usefixtures("one_thread", "four_cores")
linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")


def large(i=0):
    """1.5 MB and 0.3 MB, of other dtypes and sizes that are no multiple of anything, and what is no tensor."""
    rng = np.random.default_rng(i)
    image = torch.from_numpy(rng.random((1, 73, 71, 73), dtype=np.float32))
    return {"image": image, "label": (image[:, :-1] > 0.5).to(torch.uint8), "class": i, "names": ["a", "b"]}


def same(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert found[key].dtype == value.dtype and torch.equal(found[key], value)
        else:
            assert found[key] == value


def descriptors():
    """Open files in memory of ours. What a data loader has open itself is closed when its processes are collected."""
    links = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(OSError):  # that of the listing itself
            links.append(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115
    return sum("memfd:medgenesis" in link for link in links)


class Packed(torch.utils.data.Dataset):
    def __getitem__(self, i):
        return packed(large(i))


@linux
@pytest.mark.parametrize("workers", [0, 3])
def test_large_items_come_through_files_in_memory(workers):
    """From this process, and from others; the file is closed with its reading, however long the item is kept."""
    before = descriptors()
    kept = []
    for i, data in enumerate(read_in_order(Packed(), range(7), workers, [""] * 7)):
        assert isinstance(data, InMemoryFile)
        kept.append(unpacked(data))
        same(kept[-1], large(i))
    del data
    assert descriptors() == before
    for item in kept:
        item["image"] += 1.0  # its own memory, and writable
    for i, item in enumerate(kept):
        assert torch.equal(item["image"], large(i)["image"] + 1.0)


@linux
def test_what_a_forked_process_writes_is_its_own():
    image = unpacked(packed(large()))["image"]
    child = os.fork()
    if not child:
        image.zero_()
        os._exit(0)
    os.waitpid(child, 0)
    assert torch.equal(image, large()["image"])


@linux
@pytest.mark.parametrize("part", ["os.memfd_create", "pathlib.Path.stat"])
@pytest.mark.parametrize("fault", [AttributeError, OSError])
def test_a_system_without_files_in_memory_takes_bytes(monkeypatch, fault, part):
    """Or one that has them, but no /proc."""
    before = descriptors()

    def refuse(*args, **settings):
        raise fault(part)

    with monkeypatch.context() as patch:
        patch.setattr(part, refuse, raising=False)
        data = packed(large())
    assert isinstance(data, bytes) and len(pickle.loads(data)) == 4
    same(unpacked(data), large())
    assert descriptors() == before


@linux
def test_a_folder_too_deep_for_sockets_takes_bytes(tmp_path, monkeypatch):
    """What sends a descriptor listens at a path of 100 letters at most: else the reading would wait for ever."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setitem(multiprocessing.current_process()._config, "tempdir", None)
    for data in read_in_order(Packed(), range(4), 2, [""] * 4):
        assert isinstance(data, bytes)
        assert unpacked(data)["class"] in range(4)


@linux
@pytest.mark.parametrize("fault", [ConnectionResetError, FileNotFoundError, EOFError])
def test_an_item_of_a_process_that_has_ended_is_said(monkeypatch, fault):
    def ended(self):
        raise fault("gone")

    data = packed(large())
    monkeypatch.setattr(resource_sharer.DupFd, "detach", ended)
    with pytest.raises(VolumeError, match="num_workers: each process that reads volumes must live; .*gone"):
        unpacked(data)


def test_a_full_memory_leaves_no_file(monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    before = descriptors() if Path("/proc/self/fd").exists() else 0
    monkeypatch.setattr(os, "pwrite", full)
    same(unpacked(packed(large())), large())
    assert not before or descriptors() == before


def test_a_packed_item_keeps_voxels_meta_data_and_trace(write_nifti):
    affine = np.array([[0, 2.0, 0, 5], [-1.5, 0, 0, 7], [0, 0, 3.0, -2], [0, 0, 0, 1]])
    record = {"image": write_nifti("a.nii", np.random.default_rng(0).random((5, 6, 7), dtype=np.float32), affine)}
    item = preprocessing(intensity="unit", spacing_mm=2.0)({**record, "class": 3, "plain": torch.arange(4)})
    again = unpacked(packed(item))
    assert again.keys() == item.keys() and again["class"] == 3 and torch.equal(again["plain"], item["plain"])
    image, kept = item["image"], again["image"]
    assert type(kept) is type(image) and kept.dtype == image.dtype
    assert torch.equal(kept.as_tensor(), image.as_tensor()) and torch.equal(kept.affine, image.affine)
    assert kept.meta.keys() == image.meta.keys() and kept.meta["filename_or_obj"] == record["image"]
    assert [one["class"] for one in kept.applied_operations] == [one["class"] for one in image.applied_operations]
    kept[0, 0, 0, 0] = 9.0  # its own memory, and writable


def test_a_packed_item_inverts_as_the_original(write_nifti):
    prepare = preprocessing(intensity=None, spacing_mm=2.0)
    record = {"image": write_nifti("a.nii", np.random.default_rng(0).random((8, 9, 7), dtype=np.float32))}
    item = prepare(record)
    again = unpacked(packed(item))
    expected = prepare.inverse(item)["image"]
    assert torch.equal(prepare.inverse(again)["image"].as_tensor(), expected.as_tensor())
