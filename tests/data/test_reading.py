"""Volumes read by several processes: in order, bounded, with nothing lost on the way."""

import time

import numpy as np
import pytest
import torch
from helpers.reads import counting
from monai.data import Dataset

from medgenesis.data import preprocessing
from medgenesis.data.reading import in_worker, packed, read_in_order, unpacked
from medgenesis.errors import VolumeError

pytestmark = pytest.mark.usefixtures("one_thread", "four_cores")


class Squares(torch.utils.data.Dataset):
    def __getitem__(self, i):
        torch.rand(3), np.random.rand()  # noqa: NPY002  in this process or another one
        return i * i, in_worker()


@pytest.mark.parametrize("workers, apart", [(0, False), (1, False), (2, True), (3, True), (9, True)])
def test_results_come_in_the_order_asked_for(workers, apart):
    order = [5, 0, 3, 3, 11, 1, 2]
    results = list(read_in_order(Squares(), order, workers, [""] * 12))
    assert results == [(i * i, apart) for i in order]


def test_the_global_generators_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    list(read_in_order(Squares(), range(6), 2, [""] * 6))
    assert torch.equal(torch.rand(4), expected)


def test_a_killed_process_is_named_with_the_files_it_may_have_read(records, tmp_path):
    prepare = counting(tmp_path / "log", deadly="1.nii.gz", intensity="unit")
    names = [record["image"] for record in records]
    with pytest.raises(VolumeError, match="1.nii.gz") as caught:
        list(read_in_order(Dataset(records, prepare), range(3), 2, names))
    assert "num_workers" in str(caught.value) and "killed" in str(caught.value)


class Started(torch.utils.data.Dataset):
    """Small results, so that nothing but the rule bounds how far the processes run ahead."""

    def __init__(self, log):
        self.log = log

    def __getitem__(self, i):
        with self.log.open("a") as file:
            file.write(".")


@pytest.mark.parametrize("ahead", [1, 2])
def test_few_readings_wait_to_be_taken(tmp_path, ahead):
    results = read_in_order(Started(tmp_path / "log"), range(24), 2, [""] * 24, ahead)
    most = 0
    for taken in range(1, 13):
        next(results)
        time.sleep(0.05)  # the processes could read on
        started = len((tmp_path / "log").read_text())
        most = max(most, started - taken)
    results.close()
    assert 1 <= most <= 2 * ahead


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
