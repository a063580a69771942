"""What the checks let pass and what it refuses, and what it says."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medgenesis.data import CheckClassesd, CheckLabeld, CheckVolumed
from medgenesis.data.checks import check_whole_numbers
from medgenesis.errors import VolumeError

AFFINE = torch.tensor([[-0.7, 0.1, 0, 30], [0.1, 0.7, 0, -8], [0, 0, 2.5, 4], [0, 0, 0, 1]], dtype=torch.float64)


def _volume(name, affine=AFFINE, shape=(1, 4, 5, 6)):
    return MetaTensor(torch.ones(shape), affine=affine.clone(), meta={"filename_or_obj": name})


def _check(image, label=None):
    item = {"image": image} if label is None else {"image": image, "label": label}
    item = CheckVolumed(["image", "label"], allow_missing_keys=True)(item)
    return CheckLabeld("label", allow_missing_keys=True)(item)


def test_good_volumes_pass_as_they_are():
    image, label = _volume("i.nii"), _volume("l.nii", AFFINE + 1e-5)
    assert _check(image, label)["image"] is image
    _check(image)  # inference: no label
    _check(_volume("i.png", torch.eye(4), (1, 4, 5)), _volume("l.png", torch.eye(4), (1, 4, 5)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers(value):
    image = _volume("i.nii")
    image[0, 1, 2, 3:5] = value
    with pytest.raises(VolumeError, match="i.nii: voxels must be finite; found NaN or infinity in 2 of 120"):
        _check(image)


def test_nan_in_a_label_map_is_to_become_background():
    label = _volume("l.nii")
    label[0, 0, 0, 0] = np.nan
    for check in (check_whole_numbers, lambda one: _check(_volume("i.nii"), one)):
        with pytest.raises(VolumeError, match="l.nii: voxels must be finite; .* 1 of 120.*in a label map by 0"):
            check(label)


@pytest.mark.parametrize("affine", [torch.zeros(4, 4), torch.diag(torch.tensor([1.0, 0.0, 1.0, 1.0]))])
def test_no_place_in_space(affine):
    with pytest.raises(VolumeError, match="i.nii: its affine must be invertible"):
        _check(_volume("i.nii", affine.double()))


def _moved(axis, by):
    affine = AFFINE.clone()
    affine[axis, 3] += by
    return affine


@pytest.mark.parametrize(
    "label",
    [
        _volume("l.nii", _moved(0, 0.5)),
        _volume("l.nii", AFFINE * torch.tensor([1, 1, 1.2, 1])),
        _volume("l.nii", shape=(1, 5, 4, 6)),
        _volume("l.nii", torch.diag(torch.tensor([-1.0, -1, 1, 1])).double() @ AFFINE),
    ],
)
def test_a_label_on_another_grid(label):
    with pytest.raises(
        VolumeError, match=r"l.nii: must lie on the grid of its image i.nii; found another grid, shape .* against shape"
    ):
        _check(_volume("i.nii"), label)


def test_a_label_that_is_a_scan():
    with pytest.raises(VolumeError, match="l.nii: label values must be whole numbers"):
        _check(_volume("i.nii"), _volume("l.nii") * 0.5)


@pytest.mark.parametrize(
    "values, remedy",
    [
        ([0, 1.9999, 4.9998], r"found 1\.9999 for example, whole but for rounding .*numpy\.rint"),
        ([0, 1.9999, 4.99], "found others, as of probabilities or a scan.*threshold it"),
    ],
)
def test_a_label_that_only_rounding_makes_whole_is_refused_with_that_remedy(values, remedy):
    label = MetaTensor(torch.tensor([[values]]), meta={"filename_or_obj": "l.nii"})
    with pytest.raises(VolumeError, match=f"l.nii: label values must be whole numbers; {remedy}"):
        check_whole_numbers(label)


@pytest.mark.parametrize("greatest", [2**24, 2**24 + 1, 2**31 - 1])
def test_labels_that_float32_does_not_tell_apart(greatest):
    def label(value):
        stored = np.array([[[[0, 1, value]]]], np.int64).astype(np.float32)
        return MetaTensor(torch.from_numpy(stored), affine=AFFINE, meta={"filename_or_obj": "l.nii"})

    image = _volume("i.nii", shape=(1, 1, 1, 3))
    assert _check(image, label(2**24 - 1))
    with pytest.raises(VolumeError, match="l.nii: labels must be 16777215 at most, .*; found .*Number them anew"):
        _check(image, label(greatest))


@pytest.mark.parametrize("values", [[0, 3], [-1, 2]])
def test_labels_that_are_no_class(values):
    label = MetaTensor(torch.tensor([[values]], dtype=torch.float32), meta={"filename_or_obj": "l.nii"})
    with pytest.raises(VolumeError, match=rf"l.nii: labels must be from 0 to 2; found {values[0]} to {values[1]}"):
        CheckClassesd("label", 3)({"label": label})
    assert CheckClassesd("label", 3)({"label": label.clamp(0, 2)})


@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray])
def test_what_has_no_place_in_space(kind):
    bare, image = kind(np.ones((1, 4, 5, 6), np.float32)), _volume("i.nii")
    for given in ({"image": bare}, {"image": image, "label": bare}):
        with pytest.raises(VolumeError, match=r"volume: must be a MetaTensor.*found a (Tensor|ndarray)\. Read"):
            _check(**given)
    with pytest.raises(VolumeError, match="volume: must be a MetaTensor"):
        CheckLabeld("label")({"image": bare, "label": image})
