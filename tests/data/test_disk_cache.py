"""A disk cache that is bounded, exact and never stale."""

import json
import multiprocessing
import os
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from unittest.mock import patch

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose, Lambdad

from medgenesis.data import preprocessing
from medgenesis.data.crops import RandAcceptedCropd
from medgenesis.data.disk_cache import CompressedDataset, MappedDataset

pytestmark = pytest.mark.usefixtures("one_thread")
FORK = multiprocessing.get_context("fork")
RAS = np.diag([2.0, 1.5, 3.0, 1.0])


def opened(kind, records, folder, **settings):
    return kind(records, preprocessing(**{"intensity": "unit", **settings}), folder)


mapped = partial(opened, MappedDataset)


def test_a_cached_volume_keeps_its_affine_and_can_be_read_by_all(records, tmp_path):
    """PersistentDataset drops affines by default; and what MONAI caches, `weights_only=True` does not read."""
    prepared = preprocessing(intensity="unit", spacing_mm=2.0)(dict(records[0]))["image"]
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the second time it is read, not made anew
            image = mapped(records, tmp_path, spacing_mm=2.0)[0]["image"]
        assert torch.equal(image.affine, prepared.affine)
        assert torch.equal(image.as_tensor(), prepared.as_tensor())
        assert image.pixdim.tolist() == [2.0] * 3
    assert len(list(tmp_path.glob("*.pt"))) == 1
    torch.load(next(tmp_path.glob("*.pt")), weights_only=True)


def test_a_changed_file_is_read_anew(records, tmp_path):
    path = Path(records[0]["image"])
    dataset = mapped(records, tmp_path / "cache")
    old = dataset[0]["image"].as_tensor().clone()
    stat = path.stat()
    changed = np.random.default_rng(9).random((20, 24, 18), dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(changed, RAS), path)
    new = mapped(records, tmp_path / "cache")[0]["image"].as_tensor()
    assert torch.equal(dataset[0]["image"].as_tensor(), old)  # a run that goes on keeps what it has begun with
    np.testing.assert_array_equal(new[0].numpy(), changed[::-1, ::-1])
    assert not torch.equal(new, old)
    # the same size, another time
    for data in (changed, 1 - changed):
        np.save(tmp_path / "x.npy", data)
        os.utime(tmp_path / "x.npy", ns=(stat.st_atime_ns, stat.st_mtime_ns + int(data is changed)))
        item = mapped([{"image": str(tmp_path / "x.npy")}], tmp_path / "cache")[0]["image"]
        np.testing.assert_allclose(item[0].numpy(), data, atol=1e-7)


def test_any_file_of_a_record_may_change(records, tmp_path, write_nifti):
    """Files that are channels, and the files of a folder."""
    rng = np.random.default_rng(1)
    names = [write_nifti(f"channel{i}.nii", rng.random((9, 9, 9), dtype=np.float32)) for i in range(2)]
    dataset = mapped([{"image": names}], tmp_path / "cache")
    first = dataset[0]["image"].as_tensor().clone()
    assert first.shape == (2, 9, 9, 9)
    write_nifti("channel1.nii", rng.random((9, 9, 9), dtype=np.float32))
    second = mapped([{"image": names}], tmp_path / "cache")[0]["image"].as_tensor()
    assert torch.equal(second[0], first[0]) and not torch.equal(second[1], first[1])


def test_a_changed_slice_of_a_series_is_read_anew(tmp_path, write_series):
    stored = np.random.default_rng(2).integers(0, 900, (4, 6, 7))
    positions = [(0, 0, 2.5 * i) for i in range(4)]
    series = write_series("series", stored, positions)
    first, second = (mapped([{"image": str(series)}], tmp_path / "cache", intensity="ct") for _ in range(2))
    old = first[0]["image"].as_tensor().clone()
    write_series("series", stored[::-1], positions)
    assert torch.equal(second[0]["image"].as_tensor(), old.flip(3))


@pytest.mark.parametrize(
    "other",
    [
        {"spacing_mm": 2.0},
        {"intensity": {"preset": "custom", "a_min": 0, "a_max": 2}},
        {"intensity": None},
        {"orientation": "RAS"},
    ],
)
def test_other_preprocessing_makes_other_files(records, tmp_path, other):
    mapped(records, tmp_path)[0]
    wanted = preprocessing(**{"intensity": "unit", **other})(dict(records[0]))["image"].as_tensor()
    assert torch.equal(mapped(records, tmp_path, **other)[0]["image"].as_tensor(), wanted)
    assert len(list(tmp_path.glob("*.pt"))) == 2


def test_windows_of_one_preset_differ_in_their_files(records, tmp_path):
    ends = (1.0, 2.0, 4.0)
    settings = [{"intensity": {"preset": "custom", "a_min": 0, "a_max": end}} for end in ends]
    means = [float(mapped(records, tmp_path, **setting)[0]["image"].mean()) for setting in settings]
    np.testing.assert_allclose(np.multiply(means, ends), means[0], rtol=1e-5)


def test_using_the_preprocessing_does_not_change_the_hash(records, tmp_path):
    """Training and validation share one; the second run, which only reads the cache, must find the same names."""
    prepare = preprocessing(intensity="unit", spacing_mm=2.0)
    before = MappedDataset(records, prepare, tmp_path)
    before[0], before[1]
    assert MappedDataset(records, prepare, tmp_path).transform_hash == before.transform_hash


HASHES = """
import json, sys
from medgenesis.data import preprocessing
from medgenesis.data.disk_cache import CompressedDataset, MappedDataset
settings = json.loads(sys.argv[2])
made = MappedDataset([{"image": sys.argv[3], "label": sys.argv[3]}], preprocessing(**settings), sys.argv[1])
print(made.transform_hash, made.hash_func(made.data[0]).decode())
"""


def test_names_are_the_same_in_every_process(records, tmp_path):
    settings = {"label_keys": ["label"], "label_merge": {"1": "10-14", "2": [3, 4]}, "spacing_mm": [1, 1, 2]}
    name = records[0]["image"]
    command = [sys.executable, "-c", HASHES, str(tmp_path), json.dumps(settings), name]
    environment = {**os.environ, "PYTHONHASHSEED": "7" if os.environ.get("PYTHONHASHSEED") != "7" else "8"}
    there = subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout.split()
    here = MappedDataset([{"image": name, "label": name}], preprocessing(**settings), tmp_path)
    assert there == [here.transform_hash, here.hash_func(here.data[0]).decode()]


@pytest.mark.parametrize("kind", [MappedDataset, CompressedDataset])
@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "code"])
def test_an_unreadable_cache_file_is_made_anew_with_a_warning(records, tmp_path, damage, kind):
    mapped = partial(opened, kind)
    wanted = mapped(records, tmp_path)[0]["image"].as_tensor().clone()
    (path,) = tmp_path.glob("*.pt")
    whole = path.read_bytes()
    path.unlink()
    if damage == "code":
        torch.save(MappedDataset, path)  # not what `weights_only` reads
    else:
        path.write_bytes({"empty": b"", "truncated": whole[: len(whole) // 2], "text": b"hello"}[damage])
    with pytest.warns(UserWarning, match=f"{path.name}.*made anew"):
        assert torch.equal(mapped(records, tmp_path)[0]["image"].as_tensor(), wanted)
    assert path.stat().st_size == len(whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mapped(records, tmp_path)[0]


def fill(records, folder, barrier):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volumes = mapped(records, folder)
        barrier.wait(30)
        return sum(float(item["image"].double().sum()) for item in volumes)


def test_a_damaged_voxel_in_a_cache_file_is_found_once(records, tmp_path):
    steps = preprocessing(intensity="unit")
    before = [item["image"].as_tensor().clone() for item in MappedDataset(records, steps, tmp_path)]
    file = MappedDataset(records, steps, tmp_path)._file(records[1])
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 64
    file.write_bytes(content)
    volumes = MappedDataset(records, steps, tmp_path)
    with pytest.warns(UserWarning, match=f"{file.name}.*made anew .*Bad CRC"):
        after = [item["image"].as_tensor() for item in volumes]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(volumes)) == len(list(MappedDataset(records, steps, tmp_path))) == 3


def test_two_processes_may_fill_one_cache(records, tmp_path, in_child):
    barrier = FORK.Barrier(2)
    results = [in_child.started(fill, records, tmp_path, barrier) for _ in range(2)]
    sums = [result() for result in results]
    wanted = sum(nibabel.load(record["image"]).get_fdata().sum() for record in records)
    np.testing.assert_allclose(sums, [wanted] * 2, rtol=1e-6)
    assert len(list(tmp_path.glob("*.pt"))) == 3
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def anonymous_mib():
    with Path("/proc/self/status").open() as file:
        return int(next(line for line in file if line.startswith("RssAnon")).split()[1]) / 1024


def cut_twenty(volumes):
    """Growth of the process's own memory in MiB, and whether the volume lies in the mapping of the cache's file."""
    crop = RandAcceptedCropd("image", 32, criterion="any").set_random_state(0)
    kept = [crop(volumes[0])["image"]]
    before = anonymous_mib()
    kept += [crop(volumes[0])["image"] for _ in range(20)]
    grown = anonymous_mib() - before
    image = volumes[0]["image"]
    with Path("/proc/self/maps").open() as file:
        ranges = [line.split()[0].split("-") for line in file if line.rstrip().endswith(".pt")]
    inside = any(int(low, 16) <= image.data_ptr() < int(high, 16) for low, high in ranges)
    return grown, inside, {cube.untyped_storage().nbytes() for cube in kept}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_cutting_a_cube_does_not_read_the_volume(tmp_path, in_child):
    """256 x 256 x 512 voxels, 128 MiB: the tensor lies in the file's mapping, 20 cubes take 2.5 MiB."""
    np.save(tmp_path / "v.npy", np.linspace(0, 1, 2**25, dtype=np.float32).reshape(256, 256, 512))
    volumes = mapped([{"image": str(tmp_path / "v.npy")}], tmp_path / "cache")
    volumes[0]
    grown, inside, sizes = in_child(cut_twenty, volumes)
    assert inside
    assert grown < 12
    assert sizes == {32**3 * 4}


def test_two_processes_that_find_one_damaged_file(records, tmp_path, monkeypatch):
    def removed_meanwhile(path, error):
        path.unlink()
        raise error(f"{path}: damaged")

    before = mapped(records, tmp_path)[0]["image"].as_tensor().clone()
    monkeypatch.setattr("medgenesis.data.disk_cache.check_zip", removed_meanwhile)
    with pytest.warns(UserWarning, match="made anew"):
        assert torch.equal(mapped(records, tmp_path)[0]["image"].as_tensor(), before)


def inverted(volume):
    return 1 - volume


@pytest.mark.parametrize("kind", [MappedDataset, CompressedDataset])
def test_steps_within_steps_are_cached_too(records, tmp_path, kind):
    """MONAI takes a `Compose` among the steps for a random one, and would cache names of files."""
    steps = preprocessing(intensity="unit")
    wanted = steps(dict(records[0]))["image"]
    for nested, expected in (
        (Compose([steps, Compose([Lambdad("image", inverted)])]), 1 - wanted),
        (Compose([steps]), wanted),
    ):
        dataset = kind(records, nested, tmp_path)
        assert torch.equal(dataset[0]["image"], expected)
        reading = dataset.transform.transforms[0]
        with patch.object(type(reading), "__call__", side_effect=AssertionError("read again")):
            assert torch.equal(dataset[0]["image"], expected)
