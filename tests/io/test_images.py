"""Images through the data layer: one rule of shape, intensities, shrinking, lists that mix them with volumes."""

import numpy as np
import pydicom
import pytest
import torch
from monai.transforms import Invertd
from PIL import Image
from pydicom.uid import DigitalXRayImageStorageForPresentation, DigitalXRayImageStorageForProcessing

from medgenesis.data import ScaleIntensityPresetd, load_datalist, make_datalist, preprocessing, write_datalist
from medgenesis.data.cache import cached_volumes
from medgenesis.errors import DatalistError, IntensityRangeError, VolumeError

GREY = np.random.default_rng(0).integers(0, 256, (36, 48)).astype(np.uint8)  # rows, columns


@pytest.fixture
def drawing(tmp_path):
    """image(name, array or image, **options) -> path as text."""

    def write(name, what, **options):
        image = what if isinstance(what, Image.Image) else Image.fromarray(what)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / name, **options)
        return str(tmp_path / name)

    return write


@pytest.fixture
def xray(write_series):
    """X-ray(name, stored (rows, columns), **tags) -> path of a DICOM radiograph, which has no place in space."""

    def write(name, stored, **tags):
        folder = write_series(
            "xrays", stored[None], [(0, 0, 0)], prefix=name, Modality="DX", RescaleSlope=1, RescaleIntercept=0,
            SOPClassUID=DigitalXRayImageStorageForPresentation, ImagePositionPatient=None,
            ImageOrientationPatient=None, **tags,
        )  # fmt: skip
        return str(folder / f"{name}0")

    return write


def _prepared(path, **settings):
    return preprocessing(**{"intensity": "xray", **settings})({"image": path})["image"]


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_image_is_flat_and_neither_turned_nor_resampled(drawing, name, mode, recwarn):
    volume = _prepared(drawing(name, Image.fromarray(GREY).convert(mode)), spacing_mm=2.0)
    assert volume.dtype == torch.float32 and volume.shape == (1, 48, 36)
    np.testing.assert_array_equal(volume[0].numpy().T, GREY / np.float32(255))
    assert not recwarn.list


def test_a_jpeg_is_near(drawing):
    smooth = np.tile(np.linspace(0, 255, 48).astype(np.uint8), (36, 1))
    assert np.abs(_prepared(drawing("x.jpg", smooth, quality=95))[0].numpy().T * 255 - smooth).max() < 4


def test_sixteen_bits_need_their_range(drawing):
    deep = GREY.astype(np.uint16) * 16
    path = drawing("deep.png", deep)
    with pytest.raises(
        IntensityRangeError, match=r"deep.png: values must fit preset 'xray'.*found 0 to 4080.* 'custom'.*a_max 4095"
    ):
        _prepared(path)
    given = _prepared(path, intensity={"preset": "custom", "a_min": 0, "a_max": 4080})
    np.testing.assert_allclose(given[0].numpy().T, GREY / 255, atol=1e-6)


def test_images_in_unit_range_are_not_taken_for_eight_bits(drawing):
    with pytest.raises(IntensityRangeError, match="collapse"):
        _prepared(drawing("x.tif", (GREY / 255).astype(np.float32)))
    constant = drawing("c.png", np.full((36, 48), 7, np.uint8))
    with pytest.raises(VolumeError, match="found 7 in every one"):
        _prepared(constant)


def test_several_pages_are_refused(drawing):
    pages = Image.fromarray(GREY)
    path = drawing("pages.tif", pages, save_all=True, append_images=[pages, pages])
    with pytest.raises(VolumeError, match="pages.tif: must hold one image; found 3 pages"):
        _prepared(path)


# ---- DICOM radiographs


def test_a_radiograph_is_an_image(xray):
    stored = GREY.astype(np.uint16) * 16
    volume = _prepared(xray("a", stored, BitsStored=12, HighBit=11), intensity=None, spacing_mm=2.0)
    assert volume.shape == (1, 48, 36)
    np.testing.assert_array_equal(volume[0].numpy().T, stored)


def test_monochrome1_is_turned_bright_for_dense(xray):
    stored = GREY.astype(np.uint16) * 16
    negative = xray("n", 4095 - stored, BitsStored=12, HighBit=11, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(_prepared(negative, intensity=None)[0].numpy().T, stored)


@pytest.mark.parametrize("decoder", ["pydicom", "GDCM"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_radiograph_for_processing_is_bright_where_little_came_through(xray, photometric, sign, decoder, monkeypatch):
    """PS3.3, C.8.11.3.1.2: of sign 1 lower values mean less X-ray intensity, of -1 more."""
    little = GREY.astype(np.uint16) * 16  # large where little came through
    tags = {
        "BitsStored": 12, "HighBit": 11, "PhotometricInterpretation": photometric, "PixelIntensityRelationship": "LIN",
        "PixelIntensityRelationshipSign": sign,
    }  # fmt: skip
    stored = 4095 - little if sign == 1 else little
    raw = xray("raw", stored, PresentationIntentType="FOR PROCESSING", **tags)
    shown = xray("shown", stored, PresentationIntentType="FOR PRESENTATION", **tags)
    header = pydicom.dcmread(raw)
    del header.PresentationIntentType
    header.SOPClassUID = DigitalXRayImageStorageForProcessing
    header.save_as(f"{raw}c")
    if decoder == "GDCM":

        def none(self):
            raise NotImplementedError("no decoder")

        monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(none))
    for path in (raw, f"{raw}c"):
        np.testing.assert_array_equal(_prepared(path, intensity=None)[0].numpy().T, little)
    as_shown = 4095 - stored if photometric == "MONOCHROME1" else stored
    np.testing.assert_array_equal(_prepared(shown, intensity=None)[0].numpy().T, as_shown)


def test_radiographs_of_one_folder_are_scans_of_their_own(xray):
    xrays = [xray(name, GREY, PatientID=f"id{i // 2}") for i, name in enumerate(("a", "b", "c.1", "c.2"))]
    folder = xrays[0].rsplit("/", 1)[0]
    records = make_datalist(folder, splits=(1, 0, 0))["training"]
    assert [record["image"] for record in records] == xrays
    patients = [record["patient"] for record in records]
    assert patients[0] == patients[1] != patients[2] == patients[3] and not any("id" in one for one in patients)
    with pytest.raises(VolumeError, match="DICOM series in one folder|one file each"):
        _prepared(folder)


def test_a_colour_radiograph_is_refused(xray):
    """As that, however many bytes it has: subsampled colours take fewer than their samples say."""
    colours = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    for name, tags in {
        "a": {"NumberOfFrames": 2},
        "b": {**colours, "PhotometricInterpretation": "RGB"},
        "c": {**colours, "PhotometricInterpretation": "YBR_FULL_422"},
    }.items():
        with pytest.raises(VolumeError, match="multi-frame or colour"):
            _prepared(xray(name, GREY, **tags))


# ---- shrinking


def test_large_images_are_shrunk_and_come_back(drawing, write_nifti):
    label = (GREY > 128).astype(np.uint8)
    large, large_label = (array.repeat(2, 0).repeat(2, 1) for array in (GREY, label))
    record = {"image": drawing("i.png", large), "label": drawing("l.png", large_label)}
    steps = preprocessing(label_keys="label", intensity="xray", max_image_side=48)
    item = steps(record)
    np.testing.assert_allclose(item["image"][0].numpy().T, GREY / 255, atol=1e-6)  # a mean of 2 x 2 equal pixels
    np.testing.assert_array_equal(item["label"][0].numpy().T, label)
    back = Invertd("label", steps, orig_keys="label")(item)["label"]
    np.testing.assert_array_equal(back[0].numpy().T, large_label)
    item["pred"] = item["image"]
    back = Invertd("pred", steps, orig_keys="image", nearest_interp=False)(item)["pred"]
    expected = torch.nn.functional.interpolate(item["image"].as_tensor()[None], (96, 72), mode="bilinear")
    torch.testing.assert_close(back.as_tensor(), expected[0])


def test_what_is_small_enough_or_no_image_passes(drawing, write_nifti):
    assert _prepared(drawing("i.png", GREY), max_image_side=48).shape == (1, 48, 36)
    volume = write_nifti("v.nii", np.random.default_rng(0).random((40, 7, 50)).astype(np.float32))
    assert _prepared(volume, intensity="unit", max_image_side=32).shape == (1, 40, 7, 50)
    with pytest.raises(ValueError, match="at least 32"):
        preprocessing(max_image_side=16)


# ---- one list, several modalities


@pytest.fixture
def mixed(drawing, write_nifti, tmp_path):
    hounsfield = np.random.default_rng(0).integers(-1000, 1000, (9, 8, 7)).astype(np.int16)
    deep = {"preset": "custom", "a_min": 0, "a_max": 4080}
    records = [
        {"image": write_nifti("ct.nii", hounsfield), "intensity": "ct"},
        {"image": drawing("x.png", GREY)},
        {"image": drawing("deep.png", GREY.astype(np.uint16) * 16), "intensity": deep},
    ]
    write_datalist({"training": records}, tmp_path / "list.json")
    return tmp_path / "list.json"


def test_each_record_may_have_its_own_preset(mixed, tmp_path):
    steps = preprocessing(intensity="xray", spacing_mm=None)
    records = load_datalist(mixed)
    for cache, folder in (("none", None), ("disk", tmp_path / "cache"), ("memory", None)):
        ct, grey, deep = cached_volumes(records, steps, cache, folder)
        assert ct["image"].shape == (1, 9, 8, 7) and grey["image"].shape == deep["image"].shape == (1, 48, 36)
        torch.testing.assert_close(grey["image"].as_tensor(), deep["image"].as_tensor())
        assert 0 <= ct["image"].min() < 0.01 and ct["image"].max() > 0.99
        assert {*ct} == {*grey} == {*deep}, "what one record alone has could not be collated"


def test_another_preset_is_another_cache_file(mixed, tmp_path):
    steps = preprocessing(intensity="xray")
    records = load_datalist(mixed)
    before = cached_volumes(records, steps, "disk", tmp_path / "cache")[2]["image"].mean()
    records[2] = {**records[2], "intensity": {"preset": "custom", "a_min": 0, "a_max": 8160}}
    after = cached_volumes(records, steps, "disk", tmp_path / "cache")[2]["image"].mean()
    assert float(after) == pytest.approx(float(before) / 2, rel=1e-5)


@pytest.mark.parametrize("intensity", ["pet", {"preset": "custom"}, {"window": 1}, 3])
def test_a_wrong_preset_is_known_when_the_list_is_read(tmp_path, intensity):
    write_datalist({"training": [{"image": "x.png", "intensity": intensity}]}, tmp_path / "list.json")
    with pytest.raises(DatalistError, match='a record of .training.: "intensity"'):
        load_datalist(tmp_path / "list.json")


def test_own_preset_leaves_the_record_as_it_is(drawing):
    record = {"image": torch.rand(1, 4, 5), "intensity": "unit"}
    assert "intensity" not in ScaleIntensityPresetd("image", "ct")(record) and record["intensity"] == "unit"


# ---- real X-rays


def test_real_xrays(real_data):
    xrays = make_datalist(real_data / "cxr_nih", splits=(1, 0, 0))["training"]
    assert len(xrays) == 100 and len({record["patient"] for record in xrays}) > 90
    for record in xrays[:: len(xrays) // 5]:
        volume = _prepared(record["image"], max_image_side=256)
        assert volume.shape == (1, 256, 256) and 0 <= volume.min() < 0.2 and 0.6 < volume.max() <= 1
