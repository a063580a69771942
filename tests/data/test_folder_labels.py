"""Label maps in folders: beside the scans of their names, several a scan, among the scans."""

import json

import nibabel as nib
import numpy as np
import pytest
from helpers.lists import records_of, touch

from medgenesis.data import choose_labels, load_datalist, make_datalist, preprocessing, write_datalist
from medgenesis.errors import DatalistError


def test_labels_are_paired_by_name(tmp_path):
    images = touch(tmp_path / "imagesTr", "a_0000.nii.gz", "b_0000.nii.gz", "deep/c.mha")
    labels = touch(tmp_path / "labelsTr", "a.nii.gz", "b.nrrd", "deep/c.nii")
    datalist = make_datalist(images, labels, splits=(1, 0, 0), label_merge={"1": "10-12"}, label_names={"1": "lungs"})
    pairs = {
        record["image"].split("imagesTr/")[1]: record["label"].split("labelsTr/")[1] for record in records_of(datalist)
    }
    assert pairs == {"a_0000.nii.gz": "a.nii.gz", "b_0000.nii.gz": "b.nrrd", "deep/c.mha": "deep/c.nii"}
    assert datalist["label_merge"] == {"1": [10, 11, 12]}
    assert datalist["labels"] == {"0": "background", "1": "lungs"}


def test_label_maps_of_several_files_are_read_as_layers(tmp_path):
    """Three structures, a file each: all are learnt, by the numbers of their files."""
    grid = np.zeros((6, 6, 6), np.int16)
    for case in range(3):
        for kind, layer in (("img", None), ("lab", 0), ("lab", 1), ("lab", 2)):
            array = grid.copy()
            if layer is not None:
                array[2 * layer, case:] = 1
            path = tmp_path / kind / f"case{case}_{layer or 0:04d}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    datalist = make_datalist(tmp_path / "img", tmp_path / "lab", splits=(1, 0, 0))
    write_datalist(datalist, tmp_path / "l.json")
    records = load_datalist(tmp_path / "l.json")
    assert choose_labels({"training": records}).voxels.keys() == {0, 1, 2, 3}
    for case, record in enumerate(records):
        wanted = grid.copy()
        for layer in range(3):
            wanted[2 * layer, case:] = layer + 1
        prepared = preprocessing(label_keys=["label"], orientation="RAS", intensity=None)(record)["label"]
        assert np.array_equal(prepared[0].numpy(), wanted)


def test_cases_of_nnunet_that_end_in_four_digits_have_label_maps_of_their_own(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "file_ending": ".nii.gz"}))
    touch(tmp_path / "imagesTr", *(f"amos_000{i}_0000.nii.gz" for i in range(4)))
    touch(tmp_path / "labelsTr", *(f"amos_000{i}.nii.gz" for i in range(4)))
    records = records_of(make_datalist(tmp_path, splits=(1, 0, 0)))
    pairs = {
        record["image"].replace("imagesTr", "labelsTr").replace("_0000.nii", ".nii"): record["label"]
        for record in records
    }
    assert len(pairs) == 4 and all(image == label for image, label in pairs.items())


def test_labels_may_lie_within_the_images(tmp_path):
    images = touch(tmp_path / "data", "a.nii", "masks/a.nii")
    (record,) = make_datalist(images, images / "masks", splits=(1, 0, 0))["training"]
    assert record["image"].endswith("data/a.nii") and record["label"].endswith("masks/a.nii")


@pytest.mark.parametrize(
    "image_names, label_names, what",
    [
        (["a.nii", "b.nii", "c.nii"], [], r"must hold label map\(s\) .*none for 3 image\(s\), the first a, b, c"),
        (["a.nii"], ["a.nii", "z.nii"], r"must hold image\(s\) .*none for 1 label map\(s\), the first z"),
    ],
)
def test_what_has_no_partner(tmp_path, image_names, label_names, what):
    images, labels = touch(tmp_path / "i", *image_names), touch(tmp_path / "l", "notes.txt", *label_names)
    with pytest.raises(DatalistError, match=what):
        make_datalist(images, labels, splits=(1, 0, 0))


@pytest.mark.parametrize(
    "image, mask",
    [
        ("case_{:05}/imaging.nii.gz", "case_{:05}/segmentation.nii.gz"),
        ("volume-{}.nii", "segmentation-{}.nii"),
        ("s{:04}/ct.nii.gz", "s{:04}/segmentations/aorta.nii.gz"),
        ("P{}.nii", "P{}_seg.nii"),
    ],
)
def test_masks_among_the_scans_are_said(tmp_path, caplog, image, mask):
    images = touch(tmp_path / "x", *(name.format(i) for i in range(4) for name in (image, mask)))
    make_datalist(images, splits=(1, 0, 0))
    assert "4 named as label maps are listed as scans" in caplog.text
    caplog.clear()
    make_datalist(images, only=image.split("/")[-1].replace("{}", "*").replace("P*", "P?"), splits=(1, 0, 0))
    assert "named as label maps" not in caplog.text
