"""Label merging against a voxel-by-voxel dictionary look-up."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medgenesis.data import MergeLabelsd
from medgenesis.data.labels import parse_label_merge
from medgenesis.errors import DatalistError, VolumeError


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


KINDS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64) + (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_is_looked_up_by_its_own_values(kind):
    merge = {1: [1, 2049, 40000], 0: [3, 257], 2: [2, 255, 300, 2050]}
    merge = {1: merge[1] + merge[2], 0: merge[0]} if kind == torch.bool else merge
    label = torch.tensor([[0, 1, 2, 3, 4, 127, 255, 256, 300, 2048, 2050, 2052, 32767]], dtype=torch.float64)
    most = 1 if kind == torch.bool else 2**15 - 1 if kind.is_floating_point else torch.iinfo(kind).max
    label = label[label <= most].to(kind)[None]
    table = {source: target for target, sources in merge.items() for source in sources}
    expected = [table.get(int(value), 0) for value in label.double().ravel().tolist()]
    for given in (label, MetaTensor(label, meta={"filename_or_obj": "l.nii"})):
        found = MergeLabelsd("label", merge)({"label": given})["label"]
        assert found.dtype == kind and type(found) is type(given)
        assert found.long().ravel().tolist() == expected


@pytest.mark.parametrize(
    ("kind", "most"), [(torch.uint8, 255), (torch.bool, 1), (torch.int8, 127), (torch.float16, 2048)]
)
def test_a_target_that_the_type_cannot_hold_is_refused_by_the_file(kind, most):
    label = MetaTensor(torch.ones(1, 2, 2, dtype=kind), meta={"filename_or_obj": "l.nii"})
    assert MergeLabelsd("label", {most: [1]})({"label": label})["label"].long().unique().tolist() == [most]
    with pytest.raises(
        VolumeError, match=rf"^l\.nii: must hold .*, up to {most + 1}; found .*, up to {most}\. Convert"
    ):
        MergeLabelsd("label", {most + 1: [1]})({"label": label})
