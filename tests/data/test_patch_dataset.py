"""Cubes as a function of (seed, epoch, index), whatever the cache and the workers."""

import csv
import logging
import mmap
import resource
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from helpers.cubes import cubes
from helpers.toy import same
from numpy.lib.stride_tricks import sliding_window_view
from torch.utils.data import DataLoader

from medgenesis.data import preprocessing
from medgenesis.data.crops import RandAcceptedCropd
from medgenesis.data.patch_dataset import PatchDataset
from medgenesis.data.sampler import SampleKey
from medgenesis.errors import VolumeError
from medgenesis.transforms import RandAnatomyCelld, RandSlabd
from medgenesis.transforms.deferred import SEED

pytestmark = pytest.mark.usefixtures("one_thread")
RAS = np.diag([2.0, 1.5, 3.0, 1.0])


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
@pytest.mark.parametrize("cache", ["memory", "disk", "compressed"])
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


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_deferred_to_the_batch_gives_the_same_samples(records, workers):
    now, later = cubes(records), cubes(records, deferred=True)
    loaders = [dataset.loader(4, workers) for dataset in (now, later)]
    for epoch in range(2):
        for loader in loaders:
            loader.sampler.set_position(epoch, 4 * epoch)  # the second epoch as one that is continued
        whole, left = (list(loader) for loader in loaders)
        assert len(whole) == len(left) == 3 - epoch and all(set(batch) == {"image", SEED} for batch in left)
        for expected, batch in zip(whole, left, strict=True):
            same(later.complete(batch), expected)
            same(now.complete(expected), expected)


def test_a_deferred_transform_that_a_volume_does_not_allow_is_known_at_the_start(records):
    crop = RandAcceptedCropd("image", (8, 9, 6), criterion="any")
    with pytest.raises(VolumeError, match="cell of level 4"):
        PatchDataset(
            records, preprocessing(intensity="unit"), crop, RandAnatomyCelld("image", 4), cache="none", deferred=True
        )


def test_labels_are_cut_along_and_absent_keys_left_out(write_nifti):
    image = np.random.default_rng(0).random((16, 16, 16), dtype=np.float32)
    label = (image > 0.5).astype(np.uint8)
    record = {"image": write_nifti("a.nii.gz", image, RAS), "label": write_nifti("l.nii.gz", label, RAS)}
    prepare = preprocessing(label_keys="label", intensity="unit")
    crop = RandAcceptedCropd("image", 8, criterion="any", label_keys="label")
    dataset = PatchDataset([record], prepare, crop, patches_per_image=3, cache="none", keys=("image", "label", "other"))
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


# ---- prepared cubes


def test_rows_of_prepared_cubes(tmp_path):
    stack = np.random.default_rng(0).random((5, 8, 9, 6), dtype=np.float32)
    np.save(tmp_path / "cubes.npy", stack)
    rows = [{"image": str(tmp_path / "cubes.npy"), "cube": row} for row in (3, 0, 4)]
    for cache in ("none", "memory", "disk"):
        dataset = cubes(rows, cache, patches_per_image=1, cache_dir=tmp_path / "cache")
        assert len(dataset) == 3
        for index, row in enumerate((3, 0, 4)):
            np.testing.assert_array_equal(dataset[7, index]["target"][0].numpy(), stack[row])
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 3


def read_rows_limited(path, rows):
    """First voxels of some rows, in a process that may take 64 MiB more than it has; None where the limit is idle."""
    with Path("/proc/self/statm").open() as file:
        used = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + 2**26, -1))
    try:  # asks the system, not malloc: what tests before this one freed may still lie in its heap
        mmap.mmap(-1, 2**28, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return None
    except OSError:
        pass
    crop = RandAcceptedCropd("image", (64, 64, 32), criterion="any")
    records = [{"image": path, "cube": row} for row in rows]
    dataset = PatchDataset(records, preprocessing(intensity="unit"), crop, patches_per_image=1, cache="none")
    return [float(dataset[i]["image"][0, 0, 0, 0]) for i in range(len(rows))]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_one_row_is_read_at_a_time(tmp_path, in_child):
    """A (sparse) file of 16 GB, in a process that may take 64 MiB more than it had."""
    path, rows = tmp_path / "cubes.npy", (1, 30_000)
    stack = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(30_001, 64, 64, 32))
    for row in rows:
        stack[row] = np.linspace(0, 1, 64 * 64 * 32).reshape(64, 64, 32)
        stack[row, 0, 0, 0] = 1 / row
    del stack
    first = in_child(read_rows_limited, str(path), rows)
    if first is None:
        pytest.skip("this system does not enforce RLIMIT_DATA")
    np.testing.assert_allclose(first, [1, 1 / 30_000], rtol=1e-6)


# ---- volumes that cannot be used


@pytest.fixture
def with_bad(records, tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no volume")
    return [records[0], {"image": str(bad)}, records[2]]


@pytest.mark.parametrize("cache", ["none", "memory", "disk", "compressed"])
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
    with pytest.raises(ValueError, match="found none of 1"):
        cubes(with_bad[1:2], on_error="skip")
    with pytest.raises(ValueError):
        cubes([])
    with pytest.raises(ValueError, match="on_error"):
        cubes(with_bad, on_error="pass")


def test_a_volume_smaller_than_the_cube_is_known_at_once(records):
    crop = RandAcceptedCropd("image", 17, criterion="any")
    with pytest.raises(VolumeError, match="2.nii.gz"):
        PatchDataset(records, preprocessing(intensity="unit"), crop, cache="none")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slabs_across_each_axis_that_may_be_drawn_are_tried_at_once(write_nifti, axis):
    sides = [24, 24, 24]
    sides[axis] = 12  # cells of slabs across the other two axes are too small
    path = write_nifti("flat.nii.gz", np.random.default_rng(0).random(sides, dtype=np.float32))
    cells = RandAnatomyCelld("image", 2, least_side=8)
    settings = {"patches_per_image": 1, "cache": "none", "keys": ("image",)}
    for fixed in range(3):
        slabs = RandSlabd("image", 3, axis=fixed)
        if fixed == axis:
            assert PatchDataset([{"image": path}], preprocessing(intensity="unit"), slabs, cells, **settings)[0]
    for seed in range(8):
        with pytest.raises(VolumeError, match="flat.nii.gz: volume: a cell of level 2 must have sides"):
            slabs = RandSlabd("image", 3, axis="random")
            PatchDataset([{"image": path}], preprocessing(intensity="unit"), slabs, cells, seed=seed, **settings)


def test_an_error_in_the_middle_of_training_names_the_file(records):
    class Refuses:
        def __call__(self, item):
            raise VolumeError("too bright")

    dataset = cubes(records, transform=False)
    index = 2 * dataset.patches_per_image
    dataset.random_transform.transforms += (Refuses(),)
    with pytest.raises(VolumeError, match=f"{records[2]['image']}: too bright"):
        dataset[index]


def test_a_row_of_a_stack_is_one_cube_an_epoch(tmp_path):
    """32 crops of each would make an epoch, patience and schedule 32 times longer than published."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "stack.npy", rng.random((3, 16, 16, 16), dtype=np.float32))
    np.save(tmp_path / "whole.npy", rng.random((20, 20, 20), dtype=np.float32))
    stack = [{"image": str(tmp_path / "stack.npy"), "cube": row, "weight": 2.0} for row in range(3)]
    records = [stack[0], {"image": str(tmp_path / "whole.npy"), "weight": 1.0}, *stack[1:]]
    crop = RandAcceptedCropd("image", (16, 16, 16), criterion="any")
    made = PatchDataset(records, preprocessing(intensity="unit"), crop, patches_per_image=4, cache="none")
    assert len(made) == 1 + 4 + 2
    assert [made.file(i).rsplit("/", 1)[1][:5] for i in range(7)] == ["stack", *["whole"] * 4, "stack", "stack"]
    assert torch.equal(made[0]["image"][0], torch.from_numpy(np.load(tmp_path / "stack.npy")[0]))
    assert torch.equal(made[6]["image"][0], torch.from_numpy(np.load(tmp_path / "stack.npy")[2]))
    shares = np.array(made.weights) / sum(made.weights)
    np.testing.assert_allclose([shares[0], shares[1:5].sum(), *shares[5:]], np.array([2, 1, 2, 2]) / 7)
    with pytest.raises(IndexError):
        made[7]
