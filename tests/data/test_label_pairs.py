"""Label maps beside the scans of their names."""

from pathlib import Path

import pytest

from medgenesis.data.label_pairs import is_named_as_label, pair_labels
from medgenesis.data.scan import Scan
from medgenesis.errors import DatalistError


def _scans(*names):
    return [Scan(name.rsplit(".", 1)[0], (Path(name),), f".{name.rsplit('.', 1)[1]}") for name in names]


def _pairs(images, labels):
    return {
        str(scan.files[0]): label for scan, label in pair_labels(_scans(*images), _scans(*labels), "I", "L").items()
    }


@pytest.mark.parametrize(
    "image, label",
    [
        ("a.nii", "a.nrrd"),
        ("deep/a.nii", "deep/a_seg.nii"),
        ("deep/a.nii", "a.nii"),
        ("patient1_frame01.nii", "patient1_frame01_gt.nii"),
        ("sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_T1w_label-lesion_mask.nii"),
        ("sub-1/anat/sub-1_T1w.nii", "sub-1/sub-1_T1w_dseg.nii"),
    ],
)
def test_names_that_belong_together(image, label):
    assert _pairs([image, "other.nii"], [label]) == {image: label}


def test_one_stem_with_several_suffixes():
    assert _pairs(["f.png", "f.jpg"], ["f.png", "f.jpg"]) == {"f.png": "f.png", "f.jpg": "f.jpg"}
    for images, labels in ((["f.png", "f.jpg"], ["f.nii"]), (["f.nii"], ["f.nrrd", "f.mha"])):
        with pytest.raises(DatalistError, match="one label map for each image"):
            _pairs(images, labels)


def test_names_that_do_not():
    for image, label in (("a/ct.nii", "b/ct.nii"), ("a.nii", "b.nii")):
        with pytest.raises(DatalistError, match=f"found none for 1 label map.*{label[0]}"):
            _pairs([image], [label])
    assert is_named_as_label("x_seg") and not is_named_as_label("segment_1")


def test_channels_that_stay_apart_share_their_label():
    images = [scan._replace(case="a") for scan in _scans("a_0000.nii", "a_0001.nii")]
    assert set(pair_labels(images, _scans("a.nii"), "I", "L").values()) == {"a.nii"}
