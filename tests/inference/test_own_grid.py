"""Answers come back to the grid of label maps that were not resampled, voxel by voxel."""

import nibabel as nib
import numpy as np
import pytest
from helpers.nnunet import plans
from monai.transforms import Compose

from medgenesis.data import preprocessing
from medgenesis.data.nnunet import nnunet_preprocessing, plan_of
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


@pytest.mark.parametrize("axes", [[2, 1, 0], [0, 1, 2], "SAR"])
def test_an_answer_of_a_planned_network_lies_on_its_label_map(tmp_path, axes):
    """nnU-Net's preprocessing crops, too; its label maps stay whole."""
    plan = {**plan_of(plans(spacing=(4.0, 3.0, 5.0)), source="plans"), "axes": axes}
    values = np.zeros((24, 20, 16), np.float32)
    values[2:-3, 3:-1, 1:] = 1
    values[6:14, 6:16, 3:12] = 9
    affine = np.diag([2.0, 1.5, 3.0, 1.0])
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "image.nii.gz")
    nib.save(nib.Nifti1Image((values > 5).astype(np.uint8), affine), tmp_path / "label.nii.gz")
    prepare = nnunet_preprocessing(plan, label_keys="label", resample_labels=False)
    item = prepare({"image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "label.nii.gz")})
    back = OnOwnGridd(["pred", "image"], prepare)({**item, "pred": item["image"].clone()})
    assert item["image"].shape != item["label"].shape
    assert back["pred"].shape == back["image"].shape == back["label"].shape
    np.testing.assert_allclose(back["pred"].affine, back["label"].affine, atol=1e-4)
    threshold = float(back["pred"].max() + back["pred"].min()) / 2
    assert ((np.asarray(back["pred"]) > threshold) != (np.asarray(back["label"]) > 0)).mean() < 0.06


def test_a_preprocessing_that_does_not_orient_is_told():
    with pytest.raises(ValueError, match="transform: must orient images by ReorientVolumesd or OrderAxesd"):
        OnOwnGridd("pred", Compose([]))
