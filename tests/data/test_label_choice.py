"""What is learnt from label maps: as they are unless asked, nothing dropped without a word."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from PIL import Image

from medgenesis.data import JoinLabelLayersd, MergeLabelsd, choose_labels
from medgenesis.errors import DatalistError, VolumeError


@pytest.fixture
def records(tmp_path):
    """records([values of a map, …]) -> records whose maps hold these values, the rest background."""

    def write(maps):
        written = []
        for number, values in enumerate(maps):
            array = np.zeros((4, 4, 4), np.int32)
            array.flat[: len(values)] = values
            path = tmp_path / f"label_{number}_{len(list(tmp_path.iterdir()))}.nii.gz"
            nib.save(nib.Nifti1Image(array, np.eye(4)), path)
            written.append({"image": "scan.nii.gz", "label": str(path)})
        return written

    return write


def test_labels_stay_as_they_are_and_are_counted(records):
    found = choose_labels({"training": records([[1, 1, 2], [1]])})
    assert found.merge is None and found.num_classes == 3


def test_the_merge_in_the_header_counts_and_a_given_one_goes_before(records, tmp_path, caplog):
    sections = {"training": records([[1, 2, 7, 6, 3]])}
    path = tmp_path / "list.json"
    header = {"label_merge": {"1": [1, 2, 7], "2": [6]}, "labels": {"1": "left", "2": "right", "6": "liver"}}
    path.write_text(json.dumps({**header, **sections}))
    found = choose_labels(sections, datalist=path)
    assert found.merge == {1: [1, 2, 7], 2: [6]} and found.num_classes == 3
    assert found.names == {1: "left+right", 2: "liver"}
    assert "drops labels of the section 'training', they become background: 3 (1 voxels)" in caplog.text
    assert choose_labels(sections, {"1": "1-7"}, datalist=path).merge == {1: [1, 2, 3, 4, 5, 6, 7]}
    assert "not that of the header" in caplog.text
    assert choose_labels(sections, {}, datalist=path).num_classes == 8


def test_names_of_the_list_are_classes_even_without_a_voxel(records, tmp_path, caplog):
    path = tmp_path / "dataset.json"
    sections = {"training": records([[1]])}
    path.write_text(json.dumps({"labels": {"background": 0, "liver": 1, "tumour": 2}, **sections}))
    found = choose_labels(sections, datalist=path)
    assert found.num_classes == 3 and found.names[2] == "tumour"
    assert "classes without a voxel in the section 'training': 2" in caplog.text


def test_voxels_to_ignore_are_no_class(records, tmp_path):
    path = tmp_path / "list.json"
    said = {"background": 0, "liver": 1, "ignore": 2}
    for header in ({"labels": said}, {"labels": {str(value): name.title() for name, value in said.items()}}):
        sections = {"training": records([[1]]), "validation": records([[1, 2]])}
        path.write_text(json.dumps({**header, **sections}))
        with pytest.raises(DatalistError, match=r"found label 2 in the section 'validation'.*\{1: \[1\]\}"):
            choose_labels(sections, datalist=path)
        assert choose_labels(sections, {1: [1]}, datalist=path).num_classes == 2
        only = {"training": sections["training"]}
        found = choose_labels(only, datalist=path)  # it need not occur
        assert found.num_classes == 2 and 2 not in found.names


def test_the_header_of_a_list_that_the_records_are_not_of_does_not_count(records, tmp_path, caplog):
    """MONAI Label gives records of its own, wherever it is started."""
    path, listed, given = tmp_path / "list.json", records([[1, 2], [2]]), records([[1, 2]])
    header = {"label_merge": {"1": [1, 2]}, "labels": {"1": "liver"}}
    path.write_text(json.dumps({**header, "training": [{**r, "label": Path(r["label"]).name} for r in listed]}))
    found = choose_labels({"training": given}, datalist=path)
    assert found.merge is None and found.num_classes == 3 and not found.names
    assert "list.json: its label_merge and labels are left aside" in caplog.text
    assert choose_labels({"training": listed[1:]}, datalist=path).merge == {1: [1, 2]}
    assert choose_labels({"training": given}, datalist=tmp_path / "absent.json").num_classes == 3


@pytest.mark.parametrize(
    ("training", "validation", "merge", "said"),
    [
        ([[1, 2]], [[1]], {"1": "10-14"}, r"label_merge: must name labels that occur; found 10.*the labels 1, 2 alone"),
        ([[1, 2]], [[]], None, "validation: label maps must have foreground"),
        ([[]], [[1]], None, "training: label maps must have foreground"),
        ([[1, 2]], [[2]], {"1": 1}, "validation: label maps must have foreground"),
    ],
)
def test_what_cannot_be_learnt_or_judged_stops_at_the_start(records, training, validation, merge, said):
    with pytest.raises(DatalistError, match=said):
        choose_labels({"training": records(training), "validation": records(validation)}, merge)


def test_what_is_answered_anyway_may_be_empty(records):
    sections = {"training": records([[1], [0]]), "validation": records([[], []])}
    found = choose_labels(sections, may_be_empty=["validation"])
    assert found.num_classes == 2 and found.of(sections["training"]) == [{1}, set()]
    with pytest.raises(DatalistError, match="training: label maps must have foreground"):
        choose_labels({"training": sections["validation"]})


def test_records_that_are_left_need_foreground(records):
    full, empty, unread = *records([[1], [0]]), {"image": "a", "label": "unread.nii.gz"}
    found = choose_labels({"training": [full, empty]}, {1: 1})
    found.check_left(training=[full, empty], validation=[], test=[unread])
    with pytest.raises(DatalistError, match="training: label maps of the records that are left, 1,"):
        found.check_left(training=[empty])


def test_maps_are_read_once_and_found_again(records, tmp_path, monkeypatch):
    sections = {"training": records([[1, 2], [3]])}
    first = choose_labels(sections, cache_dir=tmp_path / "cache")
    monkeypatch.setattr("medgenesis.data.label_choice._Maps.__getitem__", None)
    assert choose_labels(sections, cache_dir=tmp_path / "cache") == first


def test_unreadable_maps(records, tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no")
    sections = {"training": [*records([[1]]), {"image": "a", "label": str(bad)}]}
    assert choose_labels(sections, on_error="skip").num_classes == 2
    with pytest.raises(VolumeError, match="bad.nii.gz"):
        choose_labels(sections)


def test_labels_that_float32_does_not_tell_apart_are_refused(records):
    with pytest.raises(VolumeError, match=r"label_1_1.nii.gz: labels must be 16777215 at most.*; found 16777216"):
        choose_labels({"training": records([[1, 2], [1, 2**24 + 1]])})


def test_negative_labels_need_a_merge(records):
    sections = {"training": records([[1, 2], [-1, 1]])}
    with pytest.raises(VolumeError, match=r"label_1_1.nii.gz: labels must be 0 or more; found -1. Name"):
        choose_labels(sections)
    assert choose_labels(sections, {"1": 2}).num_classes == 2


def test_no_classes_are_told_where_no_record_has_a_label_map(caplog):
    with caplog.at_level("INFO", logger="medgenesis"):
        assert choose_labels({"training": [{"image": "a.nii.gz"}]}).num_classes == 1
    assert "classes" not in caplog.text


@given(st.dictionaries(st.integers(1, 9), st.sets(st.integers(0, 40), min_size=1), min_size=1), st.randoms())
def test_a_merge_is_the_look_up_that_it_says(groups, random):
    merge, seen = {}, set()
    for target, sources in groups.items():
        merge[target] = sorted(sources - seen)
        seen |= sources
    label = torch.tensor([[random.randint(0, 45) for _ in range(60)]], dtype=torch.float32)
    expected = [[next((t for t, own in merge.items() if value in own), 0) for value in label[0].tolist()]]
    assert MergeLabelsd("label", merge)({"label": label})["label"].tolist() == expected


@given(st.integers(2, 5), st.booleans(), st.integers(0, 2**16))
def test_one_hot_and_layers_become_the_label_map_they_were_made_of(classes, with_background, seed):
    label = torch.from_numpy(np.random.default_rng(seed).integers(0, classes, (1, 5, 5, 4))).float()
    label.view(-1)[:classes] = torch.arange(classes)
    channels = torch.cat([label == value for value in range(0 if with_background else 1, classes)]).float()
    found = JoinLabelLayersd("label")({"label": MetaTensor(channels)})["label"]
    assert torch.equal(found.as_tensor(), label)


def test_the_numbering_of_channels_is_said_once_of_each_kind(caplog, monkeypatch):
    """A crop that one class fills looks like one-hot with that class as background: both kinds are named."""
    monkeypatch.setattr("medgenesis.data.label_layers._said", set())
    layers = torch.zeros(2, 2, 2, 1)
    layers[0, 0], layers[1, 1, 0] = 1, 1
    filled = torch.zeros(2, 2, 2, 1)
    filled[0, 0], filled[1, 1] = 1, 1
    with caplog.at_level("WARNING"):
        for name, label in (("a.nrrd", layers), ("b.nrrd", filled), ("c.nrrd", filled)):
            JoinLabelLayersd("label")({"label": MetaTensor(label, meta={"filename_or_obj": name})})
    assert [message.split(":")[0] for message in caplog.messages] == ["a.nrrd", "b.nrrd"]
    assert "layers, labels 1 to 2" in caplog.messages[0] and "one-hot, the first the background" in caplog.messages[1]


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ([[1, 1, 0], [0, 1, 0]], "must not overlap.*2 channels, overlapping ones"),
        ([[0.5, 0, 0], [0, 0.5, 0]], "no whole numbers"),
        ([[2, 0, 0], [0, 2, 1]], "a label in two of them"),
    ],
)
def test_channels_that_are_no_label_map_are_refused(channels, said):
    with pytest.raises(VolumeError, match=said):
        JoinLabelLayersd("label")({"label": torch.tensor(channels).reshape(2, 3, 1, 1)})


def test_layers_with_labels_of_their_own_keep_them():
    label = torch.tensor([[3.0, 3, 0], [0, 0, 5]]).reshape(2, 3, 1, 1)
    assert JoinLabelLayersd("label")({"label": label})["label"].flatten().tolist() == [3, 3, 5]


def test_label_maps_as_images_are_counted_by_the_stored_numbers(tmp_path):
    numbers = np.zeros((8, 8), np.uint8)
    numbers[:2], numbers[2] = 1, 2
    palette = Image.fromarray(numbers, "P")
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(numbers > 0).save(tmp_path / "bits.png")
    for name, num_classes in (("palette.png", 3), ("bits.png", 2)):
        found = choose_labels({"training": [{"image": "x.png", "label": str(tmp_path / name)}]})
        assert found.num_classes == num_classes


def test_labels_that_are_far_apart_are_shown_in_part(records, caplog):
    caplog.set_level("INFO")
    values = [2, 4, 5, 12, 13, 2**14]
    assert choose_labels({"training": records([values])}).num_classes == 2**14 + 1
    assert f"{2**14 + 1} classes, background included: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12\n" in caplog.text
    assert "in the section 'training': 1, 3, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17 and 16366 more\n" in caplog.text
    merge = "{1: [2], 2: [4], 3: [5], 4: [12], 5: [13], 6: [16384]}"
    assert f"labels are far from each other: group them by `label_merge`, {merge}\n" in caplog.text


def test_a_mask_of_0_and_255_is_told_the_merge_that_names_its_label(records, caplog):
    maps = {"training": records([[255]])}
    assert choose_labels(maps).num_classes == 256
    assert "group them by `label_merge`, {1: [255]}\n" in caplog.text
    assert choose_labels(maps, {1: [255]}).num_classes == 2


def test_a_merge_in_the_form_of_another_command_is_refused(records):
    with pytest.raises(DatalistError, match="label_merge: must be a mapping of classes to labels; found '1=1-2'"):
        choose_labels({"training": records([[1, 2]])}, "1=1-2")
