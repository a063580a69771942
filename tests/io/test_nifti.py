"""NIfTI: which of its geometries holds, and that a file is whole, against nibabel and edited bytes."""

import gzip
import itertools
import re
import struct
import zlib

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medgenesis.data import preprocessing
from medgenesis.errors import VolumeError
from medgenesis.io import NiftiReader, VolumeReader

ARRAY = np.random.default_rng(0).integers(-1000, 1000, (9, 8, 7)).astype(np.int16)
SFORM = np.array([[-11.2, 0, 0, 40.0], [0, -11.2, 0, 30.0], [0, 0, 10.0, -7.0], [0, 0, 0, 1]])
PIXDIM, QFORM_CODE, SFORM_CODE = 76, 252, 254  # bytes of the header


def edited(path, **at):
    """The file with values written at places of its header: f4 at `pixdim1`, …"""
    content = bytearray(path.read_bytes())
    places = {f"pixdim{i}": (PIXDIM + 4 * i, "<f") for i in range(8)}
    places |= {"qform_code": (QFORM_CODE, "<h"), "sform_code": (SFORM_CODE, "<h"), "srow_x0": (280, "<f")}
    places |= {"quatern_b": (256, "<f"), "dim1": (42, "<h"), "dim3": (46, "<h"), "vox_offset": (108, "<f")}
    places |= {"scl_slope": (112, "<f"), "scl_inter": (116, "<f")}
    for name, value in at.items():
        struct.pack_into(places[name][1], content, places[name][0], value)
    path.write_bytes(content)
    return path


@pytest.fixture
def scan(tmp_path):
    nibabel.save(nibabel.Nifti1Image(ARRAY, SFORM), tmp_path / "scan.nii")  # sform of code 2, qform of code 0
    return tmp_path / "scan.nii"


def affine_of(path):
    array, meta = VolumeReader().get_data(VolumeReader().read(path))
    np.testing.assert_array_equal(array, ARRAY)
    return meta["affine"].numpy()


@pytest.mark.parametrize("qform_code", [0, 1])
def test_a_sform_that_pixdim_contradicts_is_used_and_said(scan, qform_code):
    edited(scan, pixdim1=1.0, pixdim2=1.0, pixdim3=1.0, qform_code=qform_code)
    with pytest.warns(UserWarning, match=r"scan.nii: .*\(1, 1, 1\) mm, its sform \(11.2, 11.2, 10\) mm; the sform is"):
        np.testing.assert_allclose(affine_of(scan), SFORM, atol=1e-5)
    np.testing.assert_allclose(nibabel.load(scan).affine, SFORM, atol=1e-5)


def test_the_whole_preprocessing_keeps_the_sform(scan):
    edited(scan, pixdim1=1.0, qform_code=1)
    with pytest.warns(UserWarning, match="the sform is used"):
        item = preprocessing(intensity=None)({"image": str(scan)})["image"]
    assert item.pixdim.tolist() == pytest.approx([11.2, 11.2, 10])
    np.testing.assert_allclose(item.meta["original_affine"], SFORM, atol=1e-5)


def test_forms_that_turn_the_axes_otherwise_are_said(tmp_path):
    image = nibabel.Nifti1Image(ARRAY, SFORM)
    image.set_qform(np.diag([11.2, 11.2, 10, 1]), code=1)
    nibabel.save(image, tmp_path / "scan.nii")
    with pytest.warns(UserWarning, match="grow to RAS by its qform, LPS by its sform; the sform is used"):
        np.testing.assert_allclose(affine_of(tmp_path / "scan.nii"), SFORM, atol=1e-5)


@pytest.mark.parametrize("change", ["turned by 20 degrees", "shifted by 50 mm", "shifted by half a voxel", "none"])
def test_a_qform_at_another_place_is_said_with_the_distance(tmp_path, recwarn, change):
    sine, cosine = np.sin(np.deg2rad(20)), np.cos(np.deg2rad(20))
    qform = SFORM.copy()
    if change.startswith("turned"):
        qform = np.array([[cosine, -sine, 0, 0], [sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ SFORM
    elif change.startswith("shifted"):
        qform[1, 3] += 50 if "50" in change else nibabel.affines.voxel_sizes(SFORM).max() / 2
    image = nibabel.Nifti1Image(ARRAY, SFORM)
    image.set_qform(qform, code=1)
    nibabel.save(image, tmp_path / "scan.nii")
    np.testing.assert_allclose(affine_of(tmp_path / "scan.nii"), SFORM, atol=1e-5)
    corners = [np.array([*corner, 1]) for corner in itertools.product(*((0, side - 1) for side in ARRAY.shape))]
    apart = max(np.linalg.norm(qform @ corner - SFORM @ corner) for corner in corners)
    said = [str(one.message) for one in recwarn if "its qform lies" in str(one.message)]
    if change in ("none", "shifted by half a voxel"):
        assert not said
    else:
        (text,) = said
        number = float(re.search(r"scan.nii: its qform lies up to (\S+) mm from its sform; the sform is used", text)[1])
        assert number == pytest.approx(apart, rel=1e-3)


def test_without_any_form_left_and_right_are_said_to_be_unknown(scan):
    edited(scan, sform_code=0)
    with pytest.warns(UserWarning, match="scan.nii: it has neither sform nor qform"):
        np.testing.assert_allclose(affine_of(scan), nibabel.load(scan).affine)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    codes=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    spacing=st.lists(st.floats(0.1, 30), min_size=3, max_size=3),
    seed=st.integers(0, 99),
)
def test_any_two_forms_give_what_nibabel_gives(tmp_path, codes, spacing, seed):
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    image = nibabel.Nifti1Image(ARRAY, None)
    image.set_sform(affine * 1.5, code=codes[0])
    image.set_qform(affine, code=codes[1])
    nibabel.save(image, tmp_path / "scan.nii")
    reader = NiftiReader()
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(UserWarning)
        _, meta = reader.get_data(reader.read(tmp_path / "scan.nii"))
    np.testing.assert_allclose(meta["affine"], nibabel.load(tmp_path / "scan.nii").affine, atol=1e-5)


@pytest.mark.parametrize(
    "edit, what",
    [
        ({"pixdim2": 0.0, "sform_code": 0}, "its spacing must be finite and not 0"),
        ({"pixdim1": np.nan}, "its spacing must be finite"),
        ({"srow_x0": np.nan}, "its sform must be finite"),
        ({"srow_x0": np.inf}, "its sform must be finite"),
        ({"quatern_b": np.nan, "qform_code": 1}, "its qform must be finite"),
        ({"sform_code": 77}, "sform_code must be from 0 to 5; found 77"),
    ],
)
def test_a_broken_geometry_is_refused(scan, edit, what):
    with pytest.raises(VolumeError, match=f"scan.nii: {what}"):
        affine_of(edited(scan, **edit))


def test_a_sform_has_a_spacing_of_its_own(scan):
    """Some tools leave pixdim at 0 where they write a sform."""
    with pytest.warns(UserWarning, match=r"scan.nii: pixdim says a spacing of \(11.2, 0, 10\) mm, its sform"):
        np.testing.assert_allclose(affine_of(edited(scan, pixdim2=0.0)), SFORM, atol=1e-5)


def test_what_a_form_of_code_0_holds_does_not_matter(scan):
    np.testing.assert_allclose(affine_of(edited(scan, quatern_b=np.nan)), SFORM, atol=1e-5)


@pytest.mark.parametrize(
    "edit", [{"dim1": 8}, {"dim1": 10}, {"dim3": -3}, {"vox_offset": 350.0}, {"vox_offset": 353.0}]
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_of_another_length_is_refused(scan, edit, packed):
    edited(scan, **edit)
    if packed:
        scan = scan.rename(scan.with_name("scan.nii.gz"))
        scan.write_bytes(gzip.compress(scan.read_bytes()))
    with pytest.raises(VolumeError, match="scan.nii"):
        affine_of(scan)


def test_the_checksum_of_gzip_is_compared(scan):
    packed = scan.with_name("scan.nii.gz")
    content = bytearray(gzip.compress(scan.read_bytes(), compresslevel=0))  # stored: a flip is seen by the sum alone
    content[len(content) // 2] ^= 1
    packed.write_bytes(content)
    with pytest.raises(VolumeError, match="scan.nii.gz: cannot be read, truncated or damaged .*CRC"):
        affine_of(packed)
    packed.write_bytes(gzip.compress(scan.read_bytes()) + b"more")
    with pytest.raises(VolumeError, match="scan.nii.gz: cannot be read"):
        affine_of(packed)


def test_a_bomb_is_refused_by_its_header(scan, monkeypatch):
    bomb = scan.with_name("bomb.nii.gz")
    header = nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4)).header
    header.set_data_shape((2000, 1000, 500))
    bomb.write_bytes(gzip.compress(header.binaryblock + bytes(4) + bytes(10_000)))
    with pytest.raises(VolumeError, match=r"bomb.nii.gz: may unpack to at most 2 GiB \(MEDGENESIS_MAX_GIB\).*3.73 GiB"):
        affine_of(bomb)
    monkeypatch.setenv("MEDGENESIS_MAX_GIB", "1e-6")
    scan.write_bytes(bytes(zlib.decompress(zlib.compress(scan.read_bytes()))))
    affine_of(scan)  # as large on the disk as in memory


@pytest.mark.parametrize("intercept", [float("nan"), float("inf")])
def test_a_scale_that_is_none_is_for_the_header(scan, intercept):
    edited(scan, scl_slope=1.0, scl_inter=intercept)
    with pytest.raises(
        VolumeError, match=r"scan.nii: scl_inter must be finite; found .* scl_slope 1. .*nifti_tool -mod"
    ):
        affine_of(scan)
    edited(scan, scl_slope=float("nan"), scl_inter=float("nan"))  # no scale, as nibabel writes it
    affine_of(scan)


@pytest.mark.parametrize(
    "unit, said", [("meter", "metres"), ("micron", "micrometres"), ("mm", None), ("unknown", None)]
)
def test_lengths_in_other_units_are_refused(tmp_path, unit, said):
    """ITK makes millimetres of them and nibabel does not: a label map would not lie on its image."""
    image = nibabel.Nifti1Image(ARRAY, SFORM)
    image.header.set_xyzt_units(unit, "sec")
    nibabel.save(image, tmp_path / "scan.nii")
    if said is None:
        np.testing.assert_allclose(affine_of(tmp_path / "scan.nii"), SFORM, atol=1e-5)
    else:
        with pytest.raises(VolumeError, match=rf"scan.nii: its lengths must be in mm \(xyzt_units\); found {said}"):
            affine_of(tmp_path / "scan.nii")
