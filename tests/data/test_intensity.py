"""Presets by hand-computed values, and refusal of data that they would ruin."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.data import MetaTensor
from monai.transforms import ScaleIntensityRange

from medgenesis.data import ScaleIntensityPresetd
from medgenesis.data.intensity import _scaled
from medgenesis.errors import IntensityRangeError, VolumeError
from medgenesis.io import LoadVolumed


def _scale(values, preset, **options):
    volume = MetaTensor(torch.as_tensor(values, dtype=torch.float32), meta={"filename_or_obj": "scan.nii"})
    before = volume.clone()
    result = ScaleIntensityPresetd("image", preset, **options)({"image": volume})["image"]
    assert torch.equal(volume, before), "the input was changed"
    assert isinstance(result, MetaTensor) and result.meta["filename_or_obj"] == "scan.nii"
    assert 0 <= float(result.min()) and float(result.max()) <= 1
    return result


@pytest.mark.parametrize(
    "preset, options, values, expected",
    [
        ("ct", {}, [-2000, -1000, -150, 0, 1000, 3000], [0, 0, 0.425, 0.5, 1, 1]),
        ("mri", {}, [-5, 0, 1000, 4000, 9000, 10], [0, 0, 0.25, 1, 1, 0.0025]),
        ("custom", {"a_min": 0, "a_max": 255}, [0, 51, 255, 102, 0, 0], [0, 0.2, 1, 0.4, 0, 0]),
        ("unit", {}, [0, 0.1, 1, 0.5, 0.2, 0.3], [0, 0.1, 1, 0.5, 0.2, 0.3]),
    ],
)
def test_values(preset, options, values, expected):
    result = _scale(np.reshape(values, (1, 1, 2, 3)), preset, **options)
    np.testing.assert_allclose(result.numpy().ravel(), expected, atol=1e-6)


def test_percentiles_are_of_the_nonzero_voxels_of_each_channel():
    volume = np.random.default_rng(0).gamma(2, 300, (2, 8, 9, 10))
    volume[:, :4] = 0
    volume[1] *= 1000
    result = _scale(volume, "mri_percentile", lower=2, upper=95)
    for channel, scaled in zip(volume, result.numpy(), strict=True):
        low, high = np.percentile(channel[channel != 0], [2, 95])
        np.testing.assert_allclose(scaled, np.clip((channel - low) / (high - low), 0, 1), atol=1e-5)


def test_a_binary_image_by_percentiles():
    volume = np.zeros((1, 4, 4, 4))
    volume[0, 1] = 7
    np.testing.assert_array_equal(_scale(volume, "mri_percentile").numpy(), volume / 7)


RANDOM = np.random.default_rng(1).normal(size=(1, 12, 12, 12))


@pytest.mark.parametrize("preset", ["ct", "mri"])
@pytest.mark.parametrize("values", [RANDOM, RANDOM.clip(0, 1), RANDOM * 5])
def test_scaled_data_are_not_taken_for_units_of_the_scanner(preset, values):
    with pytest.raises(IntensityRangeError, match=f"scan.nii: values must fit preset '{preset}'.*collapse.*'unit'"):
        _scale(values, preset)


def test_z_scored_data_are_not_taken_for_unit_data():
    with pytest.raises(IntensityRangeError, match=r"scan.nii.*in \[0, 1\].*z-scored"):
        _scale(RANDOM, "unit")


def test_saturated_mr_is_refused():
    with pytest.raises(IntensityRangeError, match="above it. Choose 'mri_percentile'"):
        _scale(np.abs(RANDOM) * 1e5, "mri")


@pytest.mark.parametrize("preset", ["ct", "mri", "mri_percentile", "unit"])
def test_constant_volumes(preset):
    with pytest.raises(VolumeError, match="scan.nii: voxels must differ; found 0.5 in every one"):
        _scale(np.full((1, 3, 3, 3), 0.5), preset)


def test_padding_alone_is_refused():
    with pytest.raises(IntensityRangeError, match="collapse"):
        _scale(np.linspace(-3024, -2000, 27).reshape(1, 3, 3, 3), "ct")


@pytest.mark.parametrize(
    "options, what",
    [
        ({"preset": "pet"}, "pet"),
        ({"preset": "custom"}, "a_min"),
        ({"preset": "custom", "a_min": 5, "a_max": 5}, "a_min"),
        ({"preset": "mri_percentile", "lower": 60, "upper": 40}, "lower"),
    ],
)
def test_settings_out_of_range(options, what):
    with pytest.raises(ValueError, match=what):
        ScaleIntensityPresetd("image", **options)


def test_all_real_scans_fit_their_preset(real_data):
    load = LoadVolumed("image")
    scans = [(path, "ct") for path in sorted((real_data / "ct_lidc_nodules/images").iterdir())[::10]]
    scans += [(path, "mri_percentile") for path in sorted((real_data / "mr_hippocampus/images").iterdir())[::5]]
    scans += [(path, "mri_percentile") for path in sorted((real_data / "mr_brain").glob("*.nii.gz"))]
    for path, preset in scans:
        result = ScaleIntensityPresetd("image", preset)(load({"image": str(path)}))["image"]
        assert 0 <= result.min() and result.max() <= 1 and result.std() > 0.01


def test_custom_window_may_leave_out_what_is_bright():
    """A lung window on a CT that is mostly soft tissue."""
    volume = torch.tensor([-900.0, -300.0, 40.0, 50.0, 60.0]).reshape(1, 5, 1, 1)
    scaled = ScaleIntensityPresetd("image", preset="custom", a_min=-1000, a_max=-200)({"image": volume})["image"]
    np.testing.assert_allclose(scaled.flatten(), [0.125, 0.875, 1, 1, 1], rtol=1e-6)


@given(
    values=arrays(np.float32, 200, elements=st.floats(-3100, 3000, width=32)),
    low=st.floats(-2000, 0),
    width=st.floats(1, 4000),
)
def test_scaling_is_that_of_monai(values, low, width):
    volume = MetaTensor(torch.from_numpy(values)[None], meta={"filename_or_obj": "a.nii"})
    ours = _scaled(volume, low, low + width)
    theirs = ScaleIntensityRange(low, low + width, 0.0, 1.0, clip=True)(volume)
    assert torch.equal(ours.as_tensor(), theirs.as_tensor()) and ours.meta == theirs.meta
    assert np.array_equal(volume.numpy()[0], values)  # not in place


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("preset", "options", "most"),
    [("ct", {}, 900), ("mri", {}, 3000), ("mri_percentile", {}, 900), ("unit", {}, 1), ("xray", {}, 255)]
    + [("custom", {"a_min": 0, "a_max": 900}, 900)],
)
def test_a_voxel_that_is_not_finite_is_refused_by_the_file(preset, options, most, value):
    values = np.random.default_rng(0).random((2, 9, 8, 7)) * most - (500 if preset == "ct" else 0)
    values[1, 3, 4, 5] = value
    with pytest.raises(VolumeError, match=r"scan\.nii: voxels must be finite; found (nan|inf|-inf)\."):
        _scale(values, preset, **options)


@pytest.mark.parametrize(("preset", "most"), [("unit", 1), ("xray", 255), ("mri_percentile", 900)])
def test_numpy_arrays_become_what_tensors_become(preset, most):
    values = (np.random.default_rng(0).random((1, 9, 8, 7)) * most).astype(np.float32)
    found = ScaleIntensityPresetd("image", preset)({"image": values})["image"]
    expected = ScaleIntensityPresetd("image", preset)({"image": MetaTensor(torch.from_numpy(values))})["image"]
    assert isinstance(found, torch.Tensor) and torch.equal(torch.as_tensor(found), torch.as_tensor(expected))
