"""The page of the first results: the label map on the image's own grid, and a failure that costs no result."""

import base64
import gzip
import re

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from PIL import Image

from medgenesis.inference import ShowLabelMapsd
from medgenesis.storage.run_record import record_start


def _held(page, id):
    text = re.search(rf'<script type="text/plain" id="{id}">([^<]*)</script>', page)[1]
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def _item(path, label, affine):
    image = MetaTensor(np.zeros((1, 2, 2, 2)), meta={"filename_or_obj": str(path)})
    return {"image": image, "pred": MetaTensor(label[None], affine=affine)}


def test_labels_lie_where_they_lie_in_the_study(tmp_path, write_nifti):
    rng = np.random.default_rng(0)
    values, label = rng.integers(-900, 900, (6, 5, 4)), rng.integers(0, 2, (6, 5, 4))
    affine = np.diag([2.0, 1.5, 3.0, 1.0])  # RAS: turned for the page
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(values.astype(np.int16), affine), path)
    show = ShowLabelMapsd("pred", tmp_path, "ct", {0: "background", 1: "liver"}, most=1)
    record_start(tmp_path, {"overlap": 0.5})
    item = _item(path, label, affine)
    assert show(item)["pred"] is item["pred"]
    show(_item(path, label, affine))  # the second is not shown
    page = (tmp_path / "results.html").read_text()
    found = nib.as_closest_canonical(_held(page, "volume1label0"))
    np.testing.assert_array_equal(found.get_fdata(), label)
    np.testing.assert_allclose(found.affine, affine)
    assert page.index("What made this run") > page.index("image 1: liver") and "overlap: 0.5" in page
    assert "image 1: liver" in page and "scan.nii" not in page and "volume2" not in page


def test_an_array_of_nnunet_lies_where_its_label_map_lies(tmp_path):
    rng = np.random.default_rng(0)
    image, label = rng.random((1, 6, 5, 4)), rng.integers(0, 2, (6, 5, 4))
    path = tmp_path / "case.npz"
    np.savez(path, data=image, seg=label[None])
    affine = np.array([[0, 0, -1.0, 0], [0, -1.5, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])  # (z, y, x)
    ShowLabelMapsd("pred", tmp_path, "unit")(_item(path, label, affine))
    page = (tmp_path / "results.html").read_text()
    volume, found = (_held(page, id) for id in ("volume1", "volume1label0"))
    np.testing.assert_allclose(volume.affine, found.affine)
    stored = nib.as_closest_canonical(nib.Nifti1Image(label.astype(np.uint8), affine))
    np.testing.assert_array_equal(nib.as_closest_canonical(found).get_fdata(), stored.get_fdata())
    grey = nib.as_closest_canonical(nib.Nifti1Image(image[0].astype(np.float32), affine)).get_fdata()
    shown = nib.as_closest_canonical(volume).get_fdata()
    np.testing.assert_allclose(shown, grey * 255, atol=1)


def test_flat_images_and_files_that_are_gone(tmp_path, caplog):
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(6, 4) * 10).save(tmp_path / "xray.png")
    show = ShowLabelMapsd("pred", tmp_path, "xray")
    gone = _item(tmp_path / "gone.nii.gz", np.zeros((2, 2, 2)), np.eye(4))
    assert show(gone)["pred"] is gone["pred"] and "not on the page" in caplog.text
    show(_item(tmp_path / "xray.png", np.eye(4, 6), np.eye(4)))
    page = (tmp_path / "results.html").read_text()
    assert "image 2: labels" in page and "xray.png" not in page and "canvas" not in page


def test_names_stand_at_their_values(tmp_path):
    show = ShowLabelMapsd("pred", tmp_path, "ct", {1: "lungs", 3: "liver"})
    assert show.names == ["lungs", "2", "liver"]
