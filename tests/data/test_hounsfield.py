"""CT that is not in HU is refused or warned of: an offset, one subtracted twice, a turned sign, 8 bits."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.data import MetaTensor

from medgenesis.data import ScaleIntensityPresetd
from medgenesis.data.hounsfield import dense_share, has_offset, share_below_air
from medgenesis.datasets.phantom import make_phantom
from medgenesis.errors import IntensityRangeError
from medgenesis.io import LoadVolumed


def test_label_map_or_offset_ct_is_refused_as_ct():
    for values in (np.arange(120.0), np.linspace(24, 2024, 50)):
        volume = torch.as_tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1)
        with pytest.raises(IntensityRangeError, match="no voxel is below 0 HU.*label map.*offset"):
            ScaleIntensityPresetd("image", preset="ct")({"image": volume})


def _thorax(seed, air=0.3, lung=0.2, bone=0.05):
    """HU as a scanner gives them: shares of air, lung, fat, soft tissue and bone, with noise, not below -1024."""
    shares = [air, lung, 0.1, 0.9 - air - lung - bone, bone]
    values = np.random.default_rng(seed).choice([-1000.0, -800, -100, 40, 500], 8000, p=shares)
    noisy = values + np.random.default_rng(seed).normal(0, 20, 8000)
    return torch.as_tensor(np.maximum(noisy, -1024).astype(np.float32)).reshape(1, 20, 20, 20)


@pytest.mark.parametrize("padding", [-2000, -1000, -1024, -3024, -32768, None])
@pytest.mark.parametrize("offset", [0, 1000, 1024])
@pytest.mark.parametrize("shares", [{}, {"air": 0, "lung": 0.5}, {"air": 0.1, "lung": 0}, {"air": 0.7, "lung": 0.05}])
def test_an_offset_is_found_though_padding_is_below_0(padding, offset, shares):
    volume = _thorax(offset, **shares) + offset
    volume = volume.clamp_min(0) if offset == 1024 else volume
    if padding is not None:
        volume[:, :3] = padding
    scale = ScaleIntensityPresetd("image", preset="ct")
    if offset:
        with pytest.raises(IntensityRangeError, match="no voxel.* is below 0 HU"):
            scale({"image": volume})
    else:
        scale({"image": volume})


@pytest.mark.parametrize("values", [(40, 60), (200, 1200)])
def test_masked_organs_pass_and_masked_bone_needs_a_window_of_its_own(values):
    """What is not the organ is -1024, the rest above 0: dense bone alone looks as soft tissue at an offset does."""
    inside = np.random.default_rng(0).triangular(values[0], values[0], values[1], 4000)
    volume = torch.as_tensor(np.r_[np.full(4000, -1024), inside].astype(np.float32)).reshape(1, 20, 20, 20)
    scale = ScaleIntensityPresetd("image", preset="ct")
    if values == (40, 60):
        scale({"image": volume})
    else:
        with pytest.raises(IntensityRangeError, match="no voxel.* is below 0 HU"):
            scale({"image": volume})
    options = {"preset": "custom", "a_min": -1000, "a_max": 1000}
    ScaleIntensityPresetd("image", **options)({"image": volume})


LEVELS = [-2000.0, -1100.0, -1000.0, -60.0, -50.0, 0.0, 700.0, 900.0]


@given(values=arrays(np.float32, 40, elements=st.sampled_from(LEVELS)).filter(lambda values: values.min() < 0))
def test_an_offset_is_told_by_the_shares_of_what_is_no_padding(values):
    volume = torch.from_numpy(values)[None]
    rest = [value for value in values.tolist() if value > values.min() and value > -1100]
    below, dense = sum(value < -50 for value in rest), sum(value > 700 for value in rest)
    count = max(len(rest), 1)
    assert has_offset(volume, float(values.min())) == (below < 0.02 * count and dense > 0.05 * count)


def scale(values, name="scan.nii"):
    volume = MetaTensor(torch.from_numpy(np.ascontiguousarray(values, np.float32))[None])
    volume.meta["filename_or_obj"] = name
    return ScaleIntensityPresetd("image", preset="ct")({"image": volume})["image"]


@pytest.fixture(scope="module")
def real_ct(real_data):
    """HU (x, y, z) of the real CT, whole."""
    names = ["ct_chest_cip/ct-64.nrrd", "ct_torso_totalsegmentator/example_ct_dicom"]
    names += [f"ct_torso_totalsegmentator/{name}.nii.gz" for name in ("aorta_ct_cropped", "example_ct")]
    return [LoadVolumed("image")({"image": str(real_data / name)})["image"].numpy()[0] for name in names]


@pytest.fixture(scope="module")
def crops(real_ct, real_data):
    """Of each CT 60 crops of 24 and of 48 voxels, as they lie: of lung, air, abdomen, bone; and lung nodules."""
    rng, found = np.random.default_rng(0), []
    for volume in real_ct:
        for side in [24] * 60 + [48] * 60:
            corner = [rng.integers(0, max(length - side, 0) + 1) for length in volume.shape]
            found.append(volume[tuple(slice(first, first + side) for first in corner)])
    for path in sorted((real_data / "ct_lidc_nodules/images").iterdir())[::8]:
        found.append(LoadVolumed("image")({"image": str(path)})["image"].numpy()[0])
    return [crop for crop in found if np.ptp(crop.clip(-1000, 1000)) > 50]  # others would collapse


@pytest.fixture(scope="module")
def phantoms():
    return [make_phantom(0, subject, shape=(64, 64, 32)).image.astype(np.float32) for subject in range(3)]


WRONG = {
    "twice": lambda hu: hu - 1024,
    "twice, 1000": lambda hu: hu - 1000,
    "twice, not below -2048": lambda hu: np.maximum(hu - 1024, -2048),
    "twice, of -1000 to 1000": lambda hu: hu.clip(-1000, 1000) - 1024,
    "turned": lambda hu: -hu,
    "offset 939": lambda hu: hu + 939,
}
PADDED = [None, -2048, -3024]


@pytest.mark.parametrize("padding", PADDED)
def test_real_ct_and_phantoms_in_hu_pass_without_a_word(real_ct, phantoms, caplog, padding):
    for volume in [*real_ct, *phantoms]:
        values = volume.copy()
        if padding is not None:
            values[: len(values) // 4] = padding
        scale(values)
    assert not caplog.records


def test_crops_in_hu_pass_without_a_word(crops, caplog):
    assert len(crops) > 500
    for crop in crops:
        if crop.min() >= 0 or has_offset(torch.from_numpy(crop), crop.min()):
            continue  # within the liver, or of bone and contrast without fat: `custom` is for these
        scale(crop)
        scale(np.maximum(crop, -1024).clip(None, 1500))  # a window of bone
    assert not caplog.records


def test_masked_lung_passes_without_a_word(real_ct, real_data, caplog):
    lung = LoadVolumed("image")({"image": str(real_data / "ct_chest_cip/wholeLung-64.nrrd")})["image"].numpy()[0] > 0
    for padding in (-1024, -1000, -2000, -3024):
        scale(np.where(lung, real_ct[0], padding))
    assert not caplog.records


@pytest.mark.parametrize(  # of a turned one with padding less than a third may be dense: see the warning
    "kind, padding", [(kind, padding) for kind in WRONG for padding in PADDED if kind != "turned" or padding is None]
)
def test_real_ct_and_phantoms_that_are_not_in_hu_are_refused(real_ct, phantoms, kind, padding):
    volumes = [*real_ct, *phantoms] if kind.startswith("twice") else real_ct
    for volume in volumes:
        values = WRONG[kind](volume.copy())
        if padding is not None:
            values[: len(values) // 4] = padding
        with pytest.raises(
            IntensityRangeError, match="scan.nii: values must fit preset 'ct'.* HU, .*(Add|Subtract|subt)"
        ):
            scale(values)


def test_crops_of_which_the_offset_is_subtracted_twice_are_refused_or_collapse(crops):
    passed = 0
    for crop in crops:
        try:
            scale(crop - 1024)
        except IntensityRangeError:
            continue
        passed += 1
    assert passed < 0.2 * len(crops)  # of muscle and liver, which pass for air


@pytest.mark.parametrize("kind", ["turned", "offset 939"])
def test_phantoms_that_are_not_in_hu_are_refused_or_warned_of(phantoms, caplog, kind):
    """Little of them is body, much lung."""
    for subject, volume in enumerate(phantoms):
        caplog.clear()
        try:
            scale(WRONG[kind](volume), f"{kind} {subject}")
        except IntensityRangeError as error:
            assert "as dense bone is" in str(error)
        else:
            assert "are these HU, without an offset?" in caplog.text


def test_doubt_is_said_once(caplog):
    rng = np.random.default_rng(0)
    air = np.append(rng.normal(-1000, 80, 9000), rng.normal(-500, 50, 200)).reshape(40, 23, 10)
    for _ in range(2):
        scale(air, "air.nii")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "air.nii: " in caplog.text and "was an offset subtracted twice?" in caplog.text


def test_eight_bits_with_a_sign_are_warned_of(phantoms, caplog):
    eight = ((phantoms[0] + 1000) / 2000 * 255).clip(0, 255).round() - 128
    scale(eight, "eight.nii")
    assert "eight.nii" in caplog.text and "as of 8 bits with a sign" in caplog.text
    caplog.clear()
    scale(phantoms[0].clip(-160, 240), "window.nii")
    assert not caplog.records


def test_the_remedies_are_those_of_the_values(phantoms):
    """What is followed as it is written: a preset that fits, an operation that gives HU again."""
    hu = phantoms[0].clip(-1024, 3000)
    body, lungs = hu > -300, _thorax(0, air=0.6, lung=0.25, bone=0.02).numpy()[0]
    cases = {
        "MR": (np.where(body, 300 + 0.5 * hu, 0).clip(0), ["offset"], ["a_max 255", "in HU all the same"]),
        "8 bits": ((hu + 1000).clip(0, 2000) / 2000 * 255, ["a_min 0 and a_max 255"], ["in HU all the same"]),
        "padded, offset": (np.where(body, hu + 1024, -3024), ["subtract the offset"], ["in HU all the same"]),
        "times 10": (10 * lungs, ["divide"], ["offset", "in HU all the same"]),
        "twice": (hu - 1024, ["add the offset", "in HU all the same"], ["divide", "a_max 255"]),
    }  # fmt: skip
    for name, (values, said, unsaid) in cases.items():
        with pytest.raises(IntensityRangeError, match="HU") as raised:
            scale(values, name)
        remedy = str(raised.value).partition(". ")[2]
        assert remedy.startswith("MR or PET: set `intensity` to 'mri_percentile'"), name
        assert [text in remedy for text in said + unsaid] == [True] * len(said) + [False] * len(unsaid), (name, remedy)


LOW = [-3000.0, -2048.0, -1900.0, -1500.0, -1200.0, -1000.0, -600.0, -400.0, 0.0, 900.0]


@given(values=arrays(np.float32, 60, elements=st.sampled_from(LOW)).filter(lambda values: values.min() < 0))
def test_the_shares_by_counting(values):
    numbers = values.tolist()
    low = [value for value in numbers if value < -1100]
    often = sorted((low.count(value) for value in set(low)), reverse=True)[:3]
    count = len(numbers) - sum(often)
    tissue = sum(value > -300 for value in numbers)
    expected = 0.0 if tissue >= 0.2 * count else (len(low) - sum(often)) / max(count, 1)
    assert share_below_air(torch.from_numpy(values)) == pytest.approx(expected)
    rest = [value for value in numbers if value > max(min(numbers), -1100)]
    dense, air = sum(value > 700 for value in rest), sum(value < -500 for value in rest)
    count = max(len(rest), 1)
    expected = dense / count if dense > 0.2 * count and air < 0.05 * count else 0
    assert dense_share(torch.from_numpy(values), min(numbers)) == pytest.approx(expected)
