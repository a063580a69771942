"""Label merging against a voxel-by-voxel dictionary look-up."""

import numpy as np
import pytest
import torch

from medgenesis.data import MergeLabelsd
from medgenesis.data.labels import parse_label_merge
from medgenesis.errors import DatalistError


@pytest.mark.parametrize("merge", [{1: [10, 11, 12], 2: 5}, {"1": "10-12", "2": "5"}, {1: ["10-11", 12], 2: [5]}])
def test_merged_voxel_by_voxel(merge):
    label = torch.tensor(np.random.default_rng(0).integers(0, 15, (1, 6, 7, 8)), dtype=torch.float32)
    before = label.clone()
    result = MergeLabelsd("label", merge)({"label": label})["label"]
    table = {10: 1, 11: 1, 12: 1, 5: 2}
    expected = [table.get(int(value), 0) for value in label.ravel()]
    assert result.ravel().tolist() == expected and result.dtype == label.dtype
    assert torch.equal(label, before)


@pytest.mark.parametrize("merge", [{1: "a"}, {1: "3-1"}, {1: "1-2-3"}, {"lung": [1]}, {1: None}, {1: [1.5]}])
def test_malformed(merge):
    with pytest.raises(DatalistError, match="label_merge: must name"):
        parse_label_merge(merge)


@pytest.mark.parametrize("merge", ["1=1-2", ["1=1-2"], 1])
def test_the_form_of_another_command_is_refused_with_the_right_one(merge):
    with pytest.raises(DatalistError, match=r"label_merge: must be a mapping .* Write it as \{'1': '10-14,20'\}"):
        parse_label_merge(merge)


def test_one_source_in_two_groups():
    with pytest.raises(DatalistError, match="found label 11 in two groups"):
        parse_label_merge({1: "10-12", 2: [11]})


def test_numpy_arrays_are_merged():
    label = np.array([[0, 3, 10, 14, 15, 20]], np.int16)
    found = MergeLabelsd("label", {1: "10-14,20", 2: [3]})({"label": label})["label"]
    assert isinstance(found, torch.Tensor) and found.dtype == torch.int16
    assert found.tolist() == [[0, 2, 1, 1, 0, 1]]
