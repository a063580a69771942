"""nnU-Net's steps on raw images, against slow re-computation; its arrays as they are; the way back."""

import nibabel
import numpy as np
import pytest
import torch
from helpers.nnunet import IDENTIFIER, plans, write_dataset, write_image
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.transforms import AsDiscrete, Invertd
from scipy.ndimage import binary_fill_holes
from skimage.transform import resize

from medgenesis.data.nnunet import nnunet_preprocessing, plan_of
from medgenesis.data.nnunet.normalisation import NormaliseAsPlannedd
from medgenesis.data.nnunet.resampling import ResampleAsPlannedd, slice_axis
from medgenesis.errors import VolumeError
from medgenesis.handlers import SegmentationCases
from medgenesis.storage import transform_fingerprint
from medgenesis.storage.tables import read_table


def planned(scheme="ZScoreNormalization", mask=False, axes=None, **named):
    plan = plan_of(plans(scheme, use_mask_for_norm=[mask], **named), source="plans")
    return {**plan, "axes": axes} if axes else plan


def boxed(array):
    """The box round what is not zero."""
    return array[tuple(slice(hits.min(), hits.max() + 1) for hits in np.nonzero(array))]


@pytest.mark.parametrize("mask", [False, True])
def test_a_raw_image_is_ordered_cropped_and_normalised_as_nnunet_does(tmp_path, mask):
    voxels = write_image(tmp_path / "a.nii.gz", codes="LPS")
    found = nnunet_preprocessing(planned(mask=mask))({"image": str(tmp_path / "a.nii.gz")})["image"]
    array = boxed(voxels.transpose(2, 1, 0).astype(np.float64))  # (z, y, x) as stored, at the planned spacing
    where = binary_fill_holes(array != 0) if mask else np.ones_like(array, bool)
    wanted = np.where(where, (array - array[where].mean()) / array[where].std(), array)
    np.testing.assert_allclose(found[0], wanted, atol=1e-5)


def test_the_same_steps_for_images_with_label_maps():
    steps = nnunet_preprocessing(planned(), in_channels=1).with_labels({1: "2-3"})
    wanted = nnunet_preprocessing(planned(), label_keys="label", label_merge={1: "2-3"}, in_channels=1)
    assert transform_fingerprint(steps) == transform_fingerprint(wanted)


def test_ct_is_clipped_and_scaled_by_the_plans_numbers(tmp_path):
    voxels = write_image(tmp_path / "a.nii.gz")
    found = nnunet_preprocessing(planned("CTNormalization"))({"image": str(tmp_path / "a.nii.gz")})["image"]
    wanted = (boxed(voxels.transpose(2, 1, 0)).clip(-10, 90) - 40) / 20
    np.testing.assert_allclose(found[0], wanted, atol=1e-5)
    low, high = planned("CTNormalization")["channels"][0]["range"]
    assert low <= found.min() and found.max() == pytest.approx(high)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(3, 9), min_size=3, max_size=3),
    st.lists(st.sampled_from([0.6, 1.0, 1.7]), min_size=3, max_size=3),
)
def test_resampling_is_a_cubic_resize_to_the_rounded_shape(shape, spacing):
    values = np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
    volume = MetaTensor(torch.from_numpy(values)[None], affine=torch.diag(torch.tensor([*spacing, 1.0])))
    found = ResampleAsPlannedd("image", (1.0, 1.0, 1.0))({"image": volume})["image"]
    wanted = tuple(round(side * mm) for side, mm in zip(shape, volume.pixdim.tolist(), strict=True))
    assert tuple(found.shape[1:]) == wanted
    expected = resize(values.astype(float), wanted, order=3, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    for corner in (0, 1):  # the grid covers the same box, half a voxel beyond the outer centres
        ends = [
            grid.affine.numpy() @ np.array([*(corner * np.array(grid.shape[1:]) - 0.5), 1]) for grid in (volume, found)
        ]
        np.testing.assert_allclose(*ends, atol=1e-6)


def test_thick_slices_are_resampled_by_themselves_and_then_the_nearest_is_taken():
    values = np.random.default_rng(0).normal(size=(4, 6, 5))
    volume = MetaTensor(torch.from_numpy(values).float()[None], affine=torch.diag(torch.tensor([8.0, 1.0, 1.0, 1.0])))
    found = ResampleAsPlannedd("image", (4.0, 0.5, 0.5))({"image": volume})["image"][0]
    assert found.shape == (8, 12, 10)
    for index in range(8):
        flat = resize(values[index // 2], (12, 10), order=3, mode="edge", anti_aliasing=False)
        np.testing.assert_allclose(found[index], flat, atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "separate", "axis"),
    [
        ((5, 1, 1), (5, 1, 1), None, 0),
        ((1, 1, 1), (1, 1, 4), None, 2),
        ((3, 1, 1), (3, 1, 1), None, None),  # not more than 3
        ((0.2, 1, 1), (1, 1, 1), None, None),  # two longest
        ((1, 2, 1), (1, 1, 1), True, 1),
        ((9, 1, 1), (9, 1, 1), False, None),
    ],
)
def test_the_axis_of_thick_slices(old, new, separate, axis):
    assert slice_axis(old, new, separate) == axis


@settings(max_examples=10, deadline=None)
@given(codes=st.sampled_from(["RAS", "LPS", "PIR", "SAL"]), axes=st.sampled_from([[2, 1, 0], [0, 2, 1], "SAR"]))
def test_the_way_back_ends_on_the_images_own_grid(tmp_path_factory, codes, axes):
    path = tmp_path_factory.mktemp("raw") / "a.nii.gz"
    write_image(path, codes=codes)
    steps = nnunet_preprocessing(planned(axes=axes, spacing=(1.3, 1.0, 0.9)))
    item = steps({"image": str(path)})
    item["pred"] = MetaTensor(torch.ones_like(item["image"].as_tensor()))
    back = Invertd("pred", steps, "image", nearest_interp=False)(item)["pred"]
    image = nibabel.load(path)
    assert tuple(back.shape[1:]) == image.shape
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-5)
    box = np.zeros(image.shape, bool)
    box[2:-1, 1:-2, 1:] = True
    assert (back[0].numpy()[box] > 0.999).all() and (back[0].numpy()[~box] == 0).all()


def test_codes_turn_every_image_alike(tmp_path):
    first = write_image(tmp_path / "a.nii.gz", codes="RAS")
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(first[::-1, ::-1].copy(), affine), tmp_path / "b.nii.gz")
    steps = nnunet_preprocessing(planned(axes="SAR"))
    one, other = (steps({"image": str(tmp_path / name)})["image"] for name in ("a.nii.gz", "b.nii.gz"))
    torch.testing.assert_close(one.as_tensor(), other.as_tensor())


def test_arrays_are_taken_as_they_are(tmp_path):
    folder = write_dataset(tmp_path / "D") / IDENTIFIER
    file = str(folder / "case_000.npz")
    item = nnunet_preprocessing(planned(), label_keys="label", num_classes=2)({"image": file, "label": file})
    with np.load(file) as stored:
        np.testing.assert_array_equal(item["image"], stored["data"])
        np.testing.assert_array_equal(item["label"], np.maximum(stored["seg"], 0))


@pytest.mark.parametrize(
    ("axes", "columns"),
    [
        ([2, 1, 0], [[0, 0, 2.5], [0, -0.75, 0], [-0.5, 0, 0]]),  # z, y, x of a file that grows to left, back and head
        ([1, 0, 2], [[0, -2.5, 0], [-0.75, 0, 0], [0, 0, 0.5]]),
        ("PIR", [[0, -2.5, 0], [0, 0, -0.75], [0.5, 0, 0]]),
    ],
)
def test_arrays_lie_on_the_plans_grid(tmp_path, axes, columns):
    file = str(write_dataset(tmp_path / "D") / IDENTIFIER / "case_000.npz")
    steps = nnunet_preprocessing(planned(axes=axes, spacing=(2.5, 0.75, 0.5)), label_keys="label")
    item = steps({"image": file, "label": file})
    for volume in item.values():
        assert volume.pixdim.tolist() == [2.5, 0.75, 0.5]
        for affine in (volume.affine, volume.meta["original_affine"]):
            np.testing.assert_array_equal(affine[:3, :3].T, columns)


def test_an_array_is_measured_in_the_plans_millimetres(tmp_path):
    file = str(write_dataset(tmp_path / "D") / IDENTIFIER / "case_000.npz")
    steps = nnunet_preprocessing(planned(spacing=(2.5, 0.75, 0.5)), label_keys="label")
    item = steps({"image": file, "label": file})
    one_hot = AsDiscrete(to_onehot=2)(item["label"])
    engine = Engine(lambda engine, batch: [{"image": item["image"], "label": one_hot, "pred": one_hot}])
    SegmentationCases(tmp_path / "cases").attach(engine)
    engine.state.rank = 0
    engine.run([0])
    (row,) = read_table(tmp_path / "cases" / "cases.csv")
    voxels = 4 * 6 * 5  # as the data set is written
    assert float(row["reference_ml"]) == pytest.approx(voxels * 2.5 * 0.75 * 0.5 / 1000, rel=1e-4)


def test_arrays_of_another_configuration_are_refused(tmp_path):
    folder = write_dataset(tmp_path / "D") / IDENTIFIER
    folder.rename(folder.parent / "nnUNetPlans_2d")
    with pytest.raises(VolumeError, match="in a folder nnUNetPlans_3d_fullres; found it in nnUNetPlans_2d"):
        nnunet_preprocessing(planned())({"image": str(folder.parent / "nnUNetPlans_2d" / "case_000.npz")})


def test_images_that_cannot_be_are_refused(tmp_path):
    write_image(tmp_path / "a.nii.gz")
    record = {"image": str(tmp_path / "a.nii.gz")}
    plan = planned()
    with pytest.raises(VolumeError, match="how nnU-Net reads images of this data set is not known"):
        nnunet_preprocessing({**plan, "axes": None})(record)
    array = {"image": str(write_dataset(tmp_path / "D") / IDENTIFIER / "case_000.npz")}
    for one in (record, array):
        with pytest.raises(VolumeError, match=r"channels of the plans, 2 \(0, 0\); found 1\. Give the files of all"):
            nnunet_preprocessing({**plan, "channels": plan["channels"] * 2}, in_channels=2)(one)
    with pytest.raises(ValueError, match="in_channels: must be the channels of the plans, 1; found 2"):
        nnunet_preprocessing(plan, in_channels=2)
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 8), np.float32), np.eye(4)), tmp_path / "zero.nii.gz")
    with pytest.raises(VolumeError, match="must have voxels other than 0"):
        nnunet_preprocessing(plan)({"image": str(tmp_path / "zero.nii.gz")})


@pytest.mark.parametrize("scheme", ["RescaleTo01Normalization", "RGBTo01Normalization", "NoNormalization"])
def test_the_other_schemes(scheme):
    volume = torch.linspace(20, 220, 60).reshape(1, 3, 4, 5)
    channels = planned(scheme)["channels"]
    found = NormaliseAsPlannedd("image", channels)({"image": volume})["image"]
    wanted = {"RescaleTo01Normalization": (volume - 20) / 200, "RGBTo01Normalization": volume / 255}.get(scheme, volume)
    torch.testing.assert_close(found, wanted)
    if scheme == "RGBTo01Normalization":
        with pytest.raises(VolumeError, match="values must be from 0 to 255"):
            NormaliseAsPlannedd("image", channels)({"image": volume + 100})


def test_volumes_with_other_channels_or_of_one_value_are_refused():
    steps = NormaliseAsPlannedd("image", planned()["channels"])
    with pytest.raises(VolumeError, match="must have the channels of the plans, 1"):
        steps({"image": torch.rand(2, 4, 4, 4)})
    with pytest.raises(VolumeError, match="voxels must differ"):
        steps({"image": torch.ones(1, 4, 4, 4)})
