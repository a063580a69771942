"""Volumes read by several processes: in order, bounded, with nothing lost on the way."""

import time

import numpy as np
import pytest
import torch
from helpers.reads import counting
from monai.data import Dataset

from medgenesis.data.reading import in_worker, read_in_order
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
