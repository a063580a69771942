"""Label maps beside the scans of their names."""

from pathlib import Path

import pytest

from medgenesis.data.label_pairs import is_named_as_label, pair_labels
from medgenesis.data.scan import Scan
from medgenesis.errors import DatalistError


def _scans(folder, *names):
    return [Scan(name.rsplit(".", 1)[0], (Path(folder, name),), f".{name.rsplit('.', 1)[1]}") for name in names]


def _pairs(images, labels, labels_dir="L"):
    pairs = pair_labels(_scans("I", *images), _scans(labels_dir, *labels), "I", labels_dir)
    return {
        scan.files[0].relative_to("I").as_posix(): Path(label).relative_to(labels_dir).as_posix()
        for scan, label in pairs.items()
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


def test_channels_that_stay_apart_share_their_label():
    images = [scan._replace(case="a") for scan in _scans("I", "a_0000.nii", "a_0001.nii")]
    assert set(pair_labels(images, _scans("L", "a.nii"), "I", "L").values()) == {str(Path("L", "a.nii"))}


def test_an_image_is_not_its_own_label_map():
    with pytest.raises(DatalistError, match="I: label maps must be other files than the images"):
        _pairs(["a.nii", "a_seg.nii"], ["a.nii", "a_seg.nii"], labels_dir="I")
    assert _pairs(["a.nii"], ["a.nii", "a_seg.nii"], labels_dir="I") == {"a.nii": "a_seg.nii"}  # chosen by --only


def test_an_accent_is_one_letter_or_two():
    assert _pairs(["Jos\u00e9.nii"], ["Jose\u0301_seg.nii"]) == {"Jos\u00e9.nii": "Jose\u0301_seg.nii"}


def test_files_of_one_case_are_its_layers():
    layers = tuple(Path("L", f"a_000{i}.nii") for i in range(3))
    pairs = pair_labels(_scans("I", "a.nii"), [Scan("a", layers, case="a")], "I", "L")
    assert list(pairs.values()) == [[str(layer) for layer in layers]]


@pytest.mark.parametrize(
    "name, is_so",
    [
        ("x_seg", True),
        ("case_00000/segmentation", True),
        ("segmentation-0", True),
        ("mask_P001", True),
        ("Label12", True),
        ("P001/GT", True),
        ("s0001/segmentations/aorta", True),
        ("masks/P001", True),
        ("labelsTr/liver_1", True),
        ("segment_1", False),
        ("volume-0", False),
        ("case_00000/imaging", False),
        ("masked/P001", False),
        ("labelled_P001", False),
        ("gt_12", False),
        ("label_free/t1", False),
    ],
)
def test_what_is_called_as_label_maps_are(name, is_so):
    assert is_named_as_label(name) == is_so
