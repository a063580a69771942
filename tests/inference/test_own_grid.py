"""Answers come back to the grid of label maps that were not resampled, voxel by voxel."""

import nibabel as nib
import numpy as np
import pytest

from medgenesis.data import preprocessing
from medgenesis.inference import OnOwnGridd

AXES = [[[0, 1], [1, 1], [2, 1]], [[2, -1], [0, 1], [1, -1]], [[1, -1], [2, 1], [0, -1]]]


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("spacing", [None, [4.0, 3.0, 5.0]])
def test_an_answer_lies_on_its_label_map(tmp_path, axes, spacing):
    """The image's values are the label's: what comes back beside the label map must show the same box."""
    values = np.zeros((24, 20, 16), np.float32)
    values[4:14, 6:16, 3:12] = 1
    image = nib.Nifti1Image(values, np.diag([2.0, 1.5, 3.0, 1.0])).as_reoriented(np.array(axes))
    nib.save(image, tmp_path / "image.nii.gz")
    nib.save(nib.Nifti1Image(values.astype(np.uint8), np.diag([2.0, 1.5, 3.0, 1.0])), tmp_path / "label.nii.gz")
    prepare = preprocessing(label_keys="label", intensity=None, spacing_mm=spacing, resample_labels=False)
    item = prepare({"image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "label.nii.gz")})
    back = OnOwnGridd(["pred", "image"], prepare)({**item, "pred": item["image"].clone()})
    assert back["pred"].shape == back["image"].shape == back["label"].shape == (1, 24, 20, 16)
    np.testing.assert_allclose(back["pred"].affine, back["label"].affine, atol=1e-4)
    differs = (np.asarray(back["pred"]) > 0.5) != (np.asarray(back["label"]) > 0)
    assert differs.mean() < (0.05 if spacing else 1e-9)
