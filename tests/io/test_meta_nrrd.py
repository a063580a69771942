"""MetaImage and NRRD: what a header may name, that voxels are whole, and that they are those of ITK."""

import gzip
import os
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from medgenesis.errors import VolumeError
from medgenesis.io import VolumeReader
from medgenesis.io.meta_nrrd import SimpleITKReader, from_itk

ARRAY = np.random.default_rng(0).integers(-1000, 1000, (7, 8, 9)).astype(np.int16)
META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = {msb}
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 0 0 0
ElementSpacing = 1 2 3
{more}DimSize = 9 8 7
ElementType = MET_SHORT
ElementDataFile = {data}
"""
NRRD = """NRRD0004
type: short
dimension: 3
sizes: 9 8 7
encoding: {encoding}
endian: {endian}
space: left-posterior-superior
space directions: (1,0,0) (0,2,0) (0,0,3)
space origin: (0,0,0)
{more}
"""


def read(path):
    return VolumeReader().get_data(VolumeReader().read(path))[0]


@pytest.mark.parametrize("name", ["x.mha", "x.mhd", "x.nrrd", "x.nhdr", "X.MHA", "X.NRRD"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["int16", "uint8", "float64", "vector", "2d", "4d"])
def test_what_is_read_is_what_itk_reads(tmp_path, name, packed, kind):
    values = {
        "vector": np.random.default_rng(1).random((4, 5, 6, 2), np.float32),
        "2d": ARRAY[0],
        "4d": np.stack([ARRAY, ARRAY + 1]),
    }.get(kind, ARRAY if kind not in ("uint8", "float64") else ARRAY.astype(kind))
    image = sitk.GetImageFromArray(values, isVector=kind == "vector")
    image.SetSpacing([1.5, 2.5, 3.5, 1.0][: image.GetDimension()])
    image.SetOrigin([3.0, -2.0, 7.0, 0.0][: image.GetDimension()])
    sitk.WriteImage(image, str(tmp_path / name.lower()), useCompression=packed)
    if name != name.lower():
        (tmp_path / name.lower()).rename(tmp_path / name)
    array, meta = SimpleITKReader().read(tmp_path / name)
    expected, expected_meta = from_itk(image)
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_allclose(meta["affine"], expected_meta["affine"])
    assert array.dtype == expected.dtype and str(meta["original_channel_dim"]) == str(
        expected_meta["original_channel_dim"]
    )


@pytest.mark.parametrize("big", [False, True])
def test_both_orders_of_bytes_and_bytes_before_the_voxels(tmp_path, big):
    stored = ARRAY.astype(">i2" if big else "<i2").tobytes()
    (tmp_path / "x.raw").write_bytes(b"12345" + stored)
    for skip in (5, -1):
        (tmp_path / "x.mhd").write_text(META.format(msb=big, data="x.raw", more=f"HeaderSize = {skip}\n"))
        np.testing.assert_array_equal(read(tmp_path / "x.mhd"), ARRAY.T)
        endian = "big" if big else "little"
        header = NRRD.format(encoding="raw", endian=endian, more=f"byte skip: {skip}\ndata file: x.raw")
        (tmp_path / "x.nhdr").write_text(header)
        np.testing.assert_array_equal(read(tmp_path / "x.nhdr"), ARRAY.T)


def test_one_file_a_slice(tmp_path):
    for z, rows in enumerate(ARRAY):
        (tmp_path / f"{z}.raw").write_bytes(rows.tobytes())
    names = "".join(f"\n{z}.raw" for z in range(7))
    (tmp_path / "x.mhd").write_text(META.format(msb=False, data="LIST" + names, more=""))
    np.testing.assert_array_equal(read(tmp_path / "x.mhd"), ARRAY.T)
    (tmp_path / "x.mhd").write_text(META.format(msb=False, data="LIST" + names + "\n/etc/passwd", more=""))
    with pytest.raises(VolumeError, match="x.mhd: its data file must be a plain name"):
        read(tmp_path / "x.mhd")


@pytest.mark.parametrize(
    "data",
    [
        "pat_%d.raw 1 7 1",
        "%n.raw 1 3 1",
        "%s%s%s.raw",
        "../x.raw",
        "/etc/passwd",
        "/dev/zero",
        "sub/x.raw",
        "..\\x.raw",
        "..",
    ],
)
def test_a_header_names_plain_files_alone(tmp_path, data):
    for name in ("pat_1.raw", "x.raw"):
        (tmp_path / name).write_bytes(ARRAY.tobytes())
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.mhd").write_text(META.format(msb=False, data=data, more=""))
    (tmp_path / "sub" / "x.nhdr").write_text(NRRD.format(encoding="raw", endian="little", more=f"data file: {data}"))
    (tmp_path / "sub" / "y.nhdr").write_text(NRRD.format(encoding="raw", endian="little", more=f"Data  File:{data}"))
    for name in ("x.mhd", "x.nhdr", "y.nhdr"):
        with pytest.raises(VolumeError, match=f"{name}: its data file must be a plain name"):
            read(tmp_path / "sub" / name)


def test_a_data_file_that_is_a_pipe_or_absent_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.raw")
    for name in ("pipe.raw", "absent.raw", "."):
        (tmp_path / "x.mhd").write_text(META.format(msb=False, data=name, more=""))
        with pytest.raises(VolumeError, match="x.mhd: its data file"):
            read(tmp_path / "x.mhd")


@pytest.mark.parametrize(
    "header",
    [
        META.format(msb=False, data="x.raw", more="ElementDataFile : /etc/passwd\n"),
        META.format(msb=False, data="x.raw", more="elementdatafile = /etc/passwd\n"),
        META.format(msb=False, data="x.raw", more="DimSize = 900 800 700\n"),
        META.format(msb=False, data="x.raw", more="Comment = a\rElementDataFile = /etc/passwd\n"),
        META.format(msb=False, data="", more=""),
        "NDims = 3\n" * 2,
    ],
)
def test_a_header_that_two_programs_may_read_otherwise_is_refused(tmp_path, header):
    (tmp_path / "x.raw").write_bytes(ARRAY.tobytes())
    (tmp_path / "x.mhd").write_bytes(header.encode())
    with pytest.raises(VolumeError, match="x.mhd: cannot be read"):
        read(tmp_path / "x.mhd")


@pytest.mark.parametrize("suffix", ["mha", "mhd", "nrrd", "nhdr"])
@pytest.mark.parametrize(  # nothing tells of a bit that is flipped in plain voxels
    "packed, damage", [(True, "flip"), *((packed, damage) for packed in (False, True) for damage in ("cut", "more"))]
)
def test_damaged_voxels(tmp_path, suffix, packed, damage):
    path = tmp_path / f"x.{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(path), useCompression=packed)
    beside = [file for file in tmp_path.iterdir() if file != path]
    data = beside[0] if beside else path
    content = bytearray(data.read_bytes())
    content[-100] ^= 16
    data.write_bytes({"flip": bytes(content), "cut": content[:-50], "more": data.read_bytes() + b"1"}[damage])
    with pytest.raises(VolumeError, match=f"x.{suffix}: cannot be read, truncated or damaged"):
        read(path)


def test_stored_streams_are_checked_by_their_sums_alone(tmp_path):
    for name, packed in {
        "x.mha": zlib.compress(ARRAY.tobytes(), 0),
        "x.nrrd": gzip.compress(ARRAY.tobytes(), 0),
    }.items():
        meta = META.format(msb=False, data="LOCAL", more="").replace("CompressedData = False", "CompressedData = True")
        header = meta if name == "x.mha" else NRRD.format(encoding="gzip", endian="little", more="")
        (tmp_path / name).write_bytes(header.encode() + packed)
        np.testing.assert_array_equal(read(tmp_path / name), ARRAY.T)
        (tmp_path / name).write_bytes(header.encode() + packed[:300] + bytes([packed[300] ^ 1]) + packed[301:])
        with pytest.raises(VolumeError, match=f"{name}: .*incorrect data check"):
            read(tmp_path / name)


def test_bombs_are_refused_by_their_header(tmp_path):
    meta = META.format(msb=False, data="LOCAL", more="").replace("9 8 7", "2000 1000 500")
    (tmp_path / "x.mha").write_text(meta)
    (tmp_path / "x.nrrd").write_text(
        NRRD.format(encoding="gzip", endian="little", more="").replace("9 8 7", "2000 1000 500")
    )
    with (tmp_path / "sparse.raw").open("wb") as file:
        file.truncate(2 * 10**9)  # one hole
    (tmp_path / "x.mhd").write_text(meta.replace("LOCAL", "sparse.raw"))
    for name in ("x.mha", "x.nrrd", "x.mhd"):
        with pytest.raises(VolumeError, match=f"{name}: may unpack to at most 2 GiB.*3.73 GiB"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "old, new",
    [
        ("NDims = 3", "NDims = 99999999"), ("NDims = 3", "NDims = -3"), ("NDims = 3", "NDims = 4"),
        ("DimSize = 9 8 7", "DimSize = 9 8"), ("DimSize = 9 8 7", "DimSize = 9 -8 7"),
        ("ElementSpacing = 1 2 3", "ElementSpacing = 1 nan 3"), ("ElementSpacing = 1 2 3", "ElementSpacing = 1 0 3"),
        ("Offset = 0 0 0", "Offset = 0 inf 0"), ("TransformMatrix = 1 0 0", "TransformMatrix = 1 0"),
        ("dimension: 3", "dimension: 99999999"), ("dimension: 3", "dimension: 4"), ("sizes: 9 8 7", "sizes: 9 8 x"),
    ],
)  # fmt: skip
def test_impossible_axes_are_refused_before_itk_sees_them(tmp_path, old, new):
    texts = {
        "x.mha": META.format(msb=False, data="LOCAL", more=""),
        "x.nrrd": NRRD.format(encoding="raw", endian="little", more=""),
    }
    name, text = next(item for item in texts.items() if old in item[1])
    (tmp_path / name).write_bytes(text.replace(old, new).encode() + ARRAY.tobytes())
    with pytest.raises(VolumeError, match=f"{name}: cannot be read"):
        read(tmp_path / name)


def write(path, old, new):
    """A `.mha` or `.nrrd` of ARRAY, with a line of its header replaced."""
    meta = META.format(msb=False, data="LOCAL", more="")
    text = meta if path.suffix == ".mha" else NRRD.format(encoding="raw", endian="little", more="")
    assert old in text
    path.write_bytes(text.replace(old, new).encode() + ARRAY.tobytes())
    return path


SPACE = "space: left-posterior-superior\nspace directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (0,0,0)\n"
TYPE = "ElementType"


@pytest.mark.parametrize(
    "name, old, new, rule",
    [
        ("x.nrrd", SPACE, SPACE + 'space units: "um" "um" "um"\n', r"in mm \(space units\); found um"),
        ("x.nrrd", SPACE, SPACE + 'space units: "m" "m" "m"\n', r"in mm \(space units\); found m"),
        ("x.nrrd", SPACE, 'spacings: 1 2 3\nunits: "mm" "mm" "cm"\n', r"in mm \(units\); found cm"),
        ("x.nrrd", SPACE, "spacings: 1 2 nan\n", "spacing must be finite; found spacings 1 2 nan"),
        ("x.nrrd", "(0,0,3)", "(0,0,0)", "axes must span space"),
        ("x.mha", TYPE, f"DistanceUnits = um\n{TYPE}", r"in mm \(DistanceUnits\); found um"),
        ("x.mha", TYPE, f"ElementToIntensityFunctionSlope = 2\n{TYPE}", "as they are meant .*Slope = 1.*found 2"),
        ("x.mha", TYPE, f"ElementToIntensityFunctionOffset = -1024\n{TYPE}", "Offset = 0.*; found -1024"),
        ("x.mha", "1 0 0 0 1 0 0 0 1", "0 0 0 0 0 0 0 0 0", "axes must span space"),
        ("x.mha", "1 0 0 0 1 0 0 0 1", "1 0 0 0 1 0 0 1 0", "axes must span space"),
    ],
)  # fmt: skip
def test_units_spacings_and_values_that_itk_passes_over(tmp_path, name, old, new, rule):
    with pytest.raises(VolumeError, match=f"{name}: its .*{rule}"):
        read(write(tmp_path / name, old, new))


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("x.nrrd", SPACE, SPACE + 'space units: "mm" "mm" "mm"\nunits: "" "" ""\n'),
        ("x.nrrd", SPACE, 'spacings: 1 2 3\nunits: "mm" "MM" "???"\n'),
        ("x.mha", TYPE, f"DistanceUnits = mm\nElementToIntensityFunctionSlope = 1.0\n{TYPE}"),
        ("x.mha", TYPE, f"DistanceUnits = ?\nElementToIntensityFunctionOffset = 0\n{TYPE}"),
        ("x.mha", "ElementSpacing", "ElementSize"),
    ],
)
def test_what_is_in_mm_is_read_as_itk_reads_it(tmp_path, name, old, new, recwarn):
    path = write(tmp_path / name, old, new)
    array, meta = SimpleITKReader().read(path)
    expected, expected_meta = from_itk(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_allclose(meta["affine"], expected_meta["affine"])
    assert all("where left and right are" in str(one.message) for one in recwarn), "of the one without a space"


def test_units_and_spacings_of_other_axes_than_those_of_space(tmp_path):
    """Channels have a spacing of NaN, and time has seconds."""
    axes = "kinds: {}\nspacings: {}\nunits: {}\nencoding: raw\nendian: little\n\n"
    sizes = {"vector domain domain domain": ("nan 1 2 3", '"" "mm" "mm" "mm"', "2 9 8 7"),
             "domain domain domain time": ("1 2 3 nan", '"mm" "mm" "mm" "s"', "9 8 7 2")}  # fmt: skip
    for kinds, (spacings, units, shape) in sizes.items():
        header = f"NRRD0004\ntype: short\ndimension: 4\nsizes: {shape}\n" + axes.format(kinds, spacings, units)
        (tmp_path / "x.nrrd").write_bytes(header.encode() + np.stack([ARRAY, ARRAY]).tobytes())
        array, meta = SimpleITKReader().read(tmp_path / "x.nrrd")
        assert array.shape == (9, 8, 7, 2)
        np.testing.assert_allclose(np.abs(np.diag(meta["affine"])), [1, 2, 3, 1])


@pytest.mark.parametrize("name, old", [("x.nrrd", SPACE), ("x.mha", "ElementSpacing = 1 2 3\n")])
def test_no_spacing_is_warned_of_as_with_a_nifti(tmp_path, name, old):
    with pytest.warns(UserWarning, match=f"{name}: its header gives no spacing, 1 mm is taken"):
        array, meta = SimpleITKReader().read(write(tmp_path / name, old, ""))
    np.testing.assert_array_equal(array, ARRAY.T)
    np.testing.assert_array_equal(np.abs(np.diag(meta["affine"])), 1)


LPS = "space: left-posterior-superior\n"


@pytest.mark.parametrize(
    "new, said",
    [
        ("space: scanner-xyz\n", "its space 'scanner-xyz' does not say where left and right are"),
        ("space: 3D-right-handed\n", "its space '3D-right-handed' does not say where left and right are"),
        ("space dimension: 3\n", "it has no `space`, and does not say where left and right are"),
        (LPS, None),
        ("space: RAS\n", None),
        ("space: Left-Anterior-Superior\n", None),
    ],
)
def test_a_space_that_is_not_the_patients_is_said(tmp_path, recwarn, new, said):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16)), str(tmp_path / "x.nrrd"))
    content = (tmp_path / "x.nrrd").read_bytes()
    assert LPS.encode() in content
    (tmp_path / "x.nrrd").write_bytes(content.replace(LPS.encode(), new.encode()))
    read(tmp_path / "x.nrrd")
    assert [f"x.nrrd: {said}" in str(one.message) for one in recwarn] == ([] if said is None else [True])


def test_spacings_alone_do_not_say_where_left_is(tmp_path):
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 3 2\nspacings: 1 1 2\nencoding: raw\nendian: little\n\n"
    (tmp_path / "x.nrrd").write_bytes(head.encode() + bytes(48))
    with pytest.warns(UserWarning, match="x.nrrd: it has no `space`, and does not say where left and right are"):
        read(tmp_path / "x.nrrd")


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, 1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("degrees", [0, 30])
def test_a_metaimage_that_says_its_orientation_twice(tmp_path, recwarn, flips, order, degrees):
    """As ITK writes it, it agrees; with its first letter turned round it does not."""
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    image = sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16))
    image.SetDirection((turn @ (np.eye(3) * flips)[:, order]).ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / "x.mha"))
    read(tmp_path / "x.mha")
    assert not recwarn.list
    content = (tmp_path / "x.mha").read_bytes()
    place = content.index(b"AnatomicalOrientation = ") + 24
    other = {"R": "L", "L": "R", "A": "P", "P": "A", "I": "S", "S": "I"}[chr(content[place])]
    (tmp_path / "x.mha").write_bytes(content[:place] + other.encode() + content[place + 1 :])
    with pytest.warns(UserWarning, match="x.mha: its AnatomicalOrientation .* contradicts its TransformMatrix"):
        read(tmp_path / "x.mha")
