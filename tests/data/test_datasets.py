"""Cubes as a function of (seed, epoch, index), and a disk cache that is bounded, exact and never stale."""

import csv
import json
import logging
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.utils.data import DataLoader

from medgenesis.data import preprocessing
from medgenesis.data.cubes import RandCubed
from medgenesis.data.datasets import CubeDataset, MappedDataset
from medgenesis.data.sampler import SampleKey
from medgenesis.errors import VolumeError
from medgenesis.transforms import RandGenesisd

FORK = multiprocessing.get_context("fork")
RAS = np.diag([2.0, 1.5, 3.0, 1.0])


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def records(write_nifti):
    rng = np.random.default_rng(0)
    shapes = [(20, 24, 18), (18, 17, 30), (22, 16, 16)]
    volumes = [rng.random(shape, dtype=np.float32) for shape in shapes]
    return [{"image": write_nifti(f"{i}.nii.gz", v, RAS), "patient": f"p{i}"} for i, v in enumerate(volumes)]


def cubes(records, cache="none", transform=True, **settings):
    settings = {"cubes_per_volume": 4, "seed": 11, **settings}
    corrupt = RandGenesisd(rates={"flip": 0.0}) if transform else None
    cut = RandCubed("image", (8, 9, 6), rule="any")
    return CubeDataset(records, preprocessing(intensity="unit"), cut, corrupt, cache=cache, **settings)


def in_child(function, *args):
    """What a function returns in a forked process: quicker than a new interpreter, and limits stay there."""
    ours, theirs = FORK.Pipe(duplex=False)
    child = FORK.Process(target=lambda: theirs.send(function(*args)))
    child.start()
    theirs.close()
    child.join(60)
    assert child.exitcode == 0
    return ours.recv()


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


# ---- what a sample is


def test_a_sample_is_a_pair_of_plain_tensors(records):
    dataset = cubes(records)
    assert len(dataset) == 12
    for index in range(len(dataset)):
        sample = dataset[index]
        assert set(sample) == {"image", "target"}
        for cube in sample.values():
            assert type(cube) is torch.Tensor and cube.dtype == torch.float32 and cube.shape == (1, 8, 9, 6)
            assert cube.min() >= 0 and cube.max() <= 1
        assert not torch.equal(sample["image"], sample["target"])


def test_a_target_stands_in_its_volume_and_belongs_to_the_image(records):
    """Found by comparing with every cube of the volume, read by nibabel and turned to LPS by hand."""
    dataset, plain = cubes(records), cubes(records, transform=False)
    starts = set()
    for index in range(len(dataset)):
        volume = nibabel.load(records[index // 4]["image"]).get_fdata(dtype=np.float32)[::-1, ::-1]
        target = dataset[2, index]["target"]
        equal = (sliding_window_view(volume, (8, 9, 6)) == target[0].numpy()).all(axis=(3, 4, 5))
        assert equal.sum() == 1
        starts.add((index // 4, *np.argwhere(equal)[0]))
        same(plain[2, index], {"image": target})
    assert len(starts) == 12


def test_a_sample_is_a_function_of_seed_epoch_and_index(records):
    dataset, again = cubes(records), cubes(records)
    keys = [SampleKey(epoch, index) for epoch in range(3) for index in range(12)]
    first = {key: dataset[key] for key in keys}
    for key in reversed(keys):
        same(again[key], first[key])
    np.random.seed(1)  # noqa: NPY002  the global generators must play no part
    torch.manual_seed(1)
    same(again[1, 3], first[1, 3])
    same(again[3], first[0, 3])
    targets = [sample["target"].numpy().tobytes() for sample in first.values()]
    assert len(set(targets)) == len(keys)  # other cubes in other epochs
    other = cubes(records, seed=12)
    assert not torch.equal(other[1, 3]["target"], first[1, 3]["target"])


def test_a_fixed_sampler_gives_the_same_cubes_in_every_epoch(records):
    dataset = cubes(records)
    sampler = dataset.sampler(shuffle=False, fixed=True)
    epochs = []
    for epoch in range(2):
        sampler.set_position(epoch)
        epochs.append([dataset[key] for key in sampler])
    for a, b in zip(*epochs, strict=True):
        same(a, b)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_samples_do_not_depend_on_the_workers(records, tmp_path, workers, cache):
    dataset = cubes(records, cache, cache_dir=tmp_path / "cache")
    sampler = dataset.sampler()
    loader = DataLoader(
        dataset, 2, sampler=sampler, drop_last=True, num_workers=workers, persistent_workers=True,
        multiprocessing_context="fork",
    )  # fmt: skip
    for epoch in range(2):
        sampler.set_position(epoch)
        order = list(sampler)
        seen = list(loader)
        assert len(seen) == 6
        for number, batch in enumerate(seen):
            alone = [dataset[key] for key in order[2 * number : 2 * number + 2]]
            same(batch, {name: torch.stack([sample[name] for sample in alone]) for name in batch})


def test_labels_are_cut_along_and_absent_keys_left_out(write_nifti):
    image = np.random.default_rng(0).random((16, 16, 16), dtype=np.float32)
    label = (image > 0.5).astype(np.uint8)
    record = {"image": write_nifti("a.nii.gz", image, RAS), "label": write_nifti("l.nii.gz", label, RAS)}
    prepare = preprocessing(label_keys="label", intensity="unit")
    cut = RandCubed("image", 8, rule="any", label_keys="label")
    dataset = CubeDataset([record], prepare, cut, cubes_per_volume=3, cache="none", keys=("image", "label", "other"))
    for index in range(3):
        sample = dataset[index]
        assert set(sample) == {"image", "label"}
        assert torch.equal(sample["label"], (sample["image"] > 0.5).float())


def test_weights_of_records_are_those_of_their_samples(records):
    assert cubes(records).weights is None
    assert cubes(records).sampler().probabilities is None
    weighted = [{**record, "weight": w} for record, w in zip(records, (2.0, None, 0.5), strict=True)]
    weighted[1].pop("weight")
    dataset = cubes(weighted)
    assert dataset.weights == [2.0] * 4 + [1.0] * 4 + [0.5] * 4
    np.testing.assert_allclose(dataset.sampler().probabilities, np.repeat([2, 1, 0.5], 4) / 14)
    assert dataset.sampler(shuffle=False).probabilities is None
    assert dataset.sampler().seed == 11


# ---- caches


def test_all_caches_give_the_same_bits(records, tmp_path):
    none, memory, disk = (cubes(records, cache, cache_dir=tmp_path) for cache in ("none", "memory", "disk"))
    again = cubes(records, "disk", cache_dir=tmp_path)
    for epoch in range(2):
        for index in range(12):
            for other in (memory, disk, again):
                same(other[epoch, index], none[epoch, index])


def test_samples_leave_the_cached_volumes_as_they_were(records, tmp_path):
    for cache in ("memory", "disk"):
        dataset = cubes(records, cache, cache_dir=tmp_path)
        before = dataset.volumes[0]["image"].clone()
        sample = dataset[0]
        sample["target"].zero_()  # cubes own their memory
        assert torch.equal(dataset.volumes[0]["image"], before)


def test_settings_of_the_cache_are_checked(records):
    with pytest.raises(ValueError, match="cache_dir"):
        cubes(records, "disk")
    with pytest.raises(ValueError, match="'ram'"):
        cubes(records, "ram")


def mapped(records, folder, **settings):
    return MappedDataset(records, preprocessing(**{"intensity": "unit", **settings}), folder)


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
from medgenesis.data.datasets import MappedDataset
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


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "code"])
def test_an_unreadable_cache_file_is_made_anew_with_a_warning(records, tmp_path, damage):
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


def test_two_processes_may_fill_one_cache(records, tmp_path):
    barrier = FORK.Barrier(2)
    other = threading.Thread(target=lambda: sums.append(in_child(fill, records, tmp_path, barrier)))
    sums = []
    other.start()
    sums.append(in_child(fill, records, tmp_path, barrier))
    other.join()
    wanted = sum(nibabel.load(record["image"]).get_fdata().sum() for record in records)
    np.testing.assert_allclose(sums, [wanted] * 2, rtol=1e-6)
    assert len(list(tmp_path.glob("*.pt"))) == 3
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def anonymous_mib():
    with Path("/proc/self/status").open() as file:
        return int(next(line for line in file if line.startswith("RssAnon")).split()[1]) / 1024


def cut_twenty(volumes):
    """Growth of the process's own memory in MiB, and whether the volume lies in the mapping of the cache's file."""
    cut = RandCubed("image", 32, rule="any").set_random_state(0)
    kept = [cut(volumes[0])["image"]]
    before = anonymous_mib()
    kept += [cut(volumes[0])["image"] for _ in range(20)]
    grown = anonymous_mib() - before
    image = volumes[0]["image"]
    with Path("/proc/self/maps").open() as file:
        ranges = [line.split()[0].split("-") for line in file if line.rstrip().endswith(".pt")]
    inside = any(int(low, 16) <= image.data_ptr() < int(high, 16) for low, high in ranges)
    return grown, inside, {cube.untyped_storage().nbytes() for cube in kept}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_cutting_a_cube_does_not_read_the_volume(tmp_path):
    """256 x 256 x 512 voxels, 128 MiB: the tensor lies in the file's mapping, 20 cubes take 2.5 MiB."""
    np.save(tmp_path / "v.npy", np.linspace(0, 1, 2**25, dtype=np.float32).reshape(256, 256, 512))
    volumes = mapped([{"image": str(tmp_path / "v.npy")}], tmp_path / "cache")
    volumes[0]
    grown, inside, sizes = in_child(cut_twenty, volumes)
    assert inside
    assert grown < 12
    assert sizes == {32**3 * 4}


# ---- prepared cubes


def test_rows_of_prepared_cubes(tmp_path):
    stack = np.random.default_rng(0).random((5, 8, 9, 6), dtype=np.float32)
    np.save(tmp_path / "cubes.npy", stack)
    rows = [{"image": str(tmp_path / "cubes.npy"), "cube": row} for row in (3, 0, 4)]
    for cache in ("none", "memory", "disk"):
        dataset = cubes(rows, cache, cubes_per_volume=1, cache_dir=tmp_path / "cache")
        assert len(dataset) == 3
        for index, row in enumerate((3, 0, 4)):
            np.testing.assert_array_equal(dataset[7, index]["target"][0].numpy(), stack[row])
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 3


def read_rows_limited(path, rows):
    """First voxels of some rows, in a process that may take 64 MiB more than it has; None where the limit is idle."""
    with Path("/proc/self/statm").open() as file:
        used = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + 2**26, -1))
    try:
        torch.zeros(2**28, dtype=torch.uint8)
        return None
    except RuntimeError:
        pass
    cut = RandCubed("image", (64, 64, 32), rule="any")
    records = [{"image": path, "cube": row} for row in rows]
    dataset = CubeDataset(records, preprocessing(intensity="unit"), cut, cubes_per_volume=1, cache="none")
    return [float(dataset[i]["image"][0, 0, 0, 0]) for i in range(len(rows))]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_one_row_is_read_at_a_time(tmp_path):
    """A (sparse) file of 16 GB, in a process that may take 64 MiB more than it had."""
    path, rows = tmp_path / "cubes.npy", (1, 30_000)
    stack = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(30_001, 64, 64, 32))
    for row in rows:
        stack[row] = np.linspace(0, 1, 64 * 64 * 32).reshape(64, 64, 32)
        stack[row, 0, 0, 0] = 1 / row
    del stack
    np.testing.assert_allclose(in_child(read_rows_limited, str(path), rows), [1, 1 / 30_000], rtol=1e-6)


# ---- volumes that cannot be used


@pytest.fixture
def with_bad(records, tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no volume")
    return [records[0], {"image": str(bad)}, records[2]]


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_skipped_volumes_shift_no_sample(records, with_bad, tmp_path, cache, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = cubes(with_bad, cache, on_error="skip", cache_dir=tmp_path / "c", report=tmp_path / "report.csv")
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert "bad.nii.gz" in caplog.text
    whole = cubes([records[0], records[2]])
    assert len(dataset) == len(whole) == 8
    assert dataset.data == [records[0], records[2]]
    for index in range(8):
        same(dataset[1, index], whole[1, index])
    with (tmp_path / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["file"]).name for row in rows] == ["0.nii.gz", "bad.nii.gz", "2.nii.gz"]
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert [row["accepted"] for row in rows] == ["1.0", "", "1.0"]
    assert rows[0]["shape"] == "20x24x18" and rows[0]["spacing_mm"] == "2x1.5x3"


def test_stop_names_the_file_and_still_writes_the_report(with_bad, tmp_path):
    with pytest.raises(VolumeError, match="bad.nii.gz"):
        cubes(with_bad, report=tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_no_usable_volume_is_an_error(with_bad):
    with pytest.raises(ValueError, match="none of 1 volumes"):
        cubes(with_bad[1:2], on_error="skip")
    with pytest.raises(ValueError):
        cubes([])
    with pytest.raises(ValueError, match="on_error"):
        cubes(with_bad, on_error="pass")


def test_a_volume_smaller_than_the_cube_is_known_at_once(records):
    cut = RandCubed("image", 17, rule="any")
    with pytest.raises(VolumeError, match="2.nii.gz"):
        CubeDataset(records, preprocessing(intensity="unit"), cut, cache="none")
