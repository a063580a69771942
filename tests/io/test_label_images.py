"""Images: turned as they are looked at, white is bright; label maps: the numbers that are stored."""

import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from medgenesis.data import preprocessing
from medgenesis.errors import VolumeError
from medgenesis.io import GreyReader, VolumeReader

GREY = np.random.default_rng(0).integers(0, 256, (44, 60)).astype(np.uint8)
NUMBERS = np.random.default_rng(1).integers(0, 3, (44, 60)).astype(np.uint8)
COLOURS = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [7] * 759
TURNED = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: lambda a: np.rot90(a),
}  # fmt: skip


def rows(path, labels=False):
    reader = GreyReader(labels)
    return reader.get_data(reader.read(path))[0].T


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.png", "x.tif", "packed.tif", "x.jpg"])
def test_images_are_turned_as_they_are_looked_at(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    smooth = np.add.outer(np.arange(44), 2 * np.arange(60)).astype(np.uint8)
    options = {"compression": "tiff_deflate"} if name == "packed.tif" else {"quality": 95} if name == "x.jpg" else {}
    Image.fromarray(smooth).save(tmp_path / name, exif=exif, **options)
    expected = TURNED[orientation](smooth)
    assert rows(tmp_path / name).shape == expected.shape
    assert np.abs(rows(tmp_path / name).astype(int) - expected).max() <= (4 if name == "x.jpg" else 0)
    if name != "x.jpg":
        np.testing.assert_array_equal(rows(tmp_path / name, labels=True), expected)


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_where_white_is_stored_as_0(tmp_path, bits):
    stored = {1: GREY > 99, 8: GREY, 16: GREY.astype(np.uint16) * 256 + 5}[bits]
    Image.fromarray(stored).save(tmp_path / "plain.tif")
    content = bytearray((tmp_path / "plain.tif").read_bytes())
    entry = content.index(b"\x06\x01\x03\x00\x01\x00\x00\x00")  # tag 262, one short
    content[entry + 8 : entry + 12] = bytes(4)
    (tmp_path / "white.tif").write_bytes(content)
    most = {1: 255, 8: 255, 16: 65535}[bits]
    np.testing.assert_array_equal(rows(tmp_path / "white.tif"), most - rows(tmp_path / "plain.tif").astype(int))


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.bmp"])
def test_the_indices_of_a_palette_are_the_labels(tmp_path, name):
    image = Image.fromarray(NUMBERS, "P")
    image.putpalette(COLOURS)
    image.save(tmp_path / name)
    item = preprocessing(label_keys="label", intensity=None)(
        {"image": str(tmp_path / name), "label": str(tmp_path / name)}
    )
    np.testing.assert_array_equal(item["label"][0].numpy().T, NUMBERS)
    assert item["image"].max() > 2, "an image of a palette is looked at"


def test_grey_label_maps_of_all_depths(tmp_path):
    Image.fromarray(NUMBERS > 0).save(tmp_path / "1.png")
    np.testing.assert_array_equal(rows(tmp_path / "1.png", labels=True), NUMBERS > 0)
    Image.fromarray(NUMBERS.astype(np.uint16) * 300).save(tmp_path / "16.png")
    np.testing.assert_array_equal(rows(tmp_path / "16.png", labels=True), NUMBERS.astype(int) * 300)
    Image.fromarray(np.dstack([NUMBERS] * 3)).save(tmp_path / "rgb.png")
    np.testing.assert_array_equal(rows(tmp_path / "rgb.png", labels=True), NUMBERS)


@pytest.mark.parametrize("bits", [2, 4])
def test_label_maps_of_2_and_4_bits(tmp_path, bits):
    def chunk(name, content):
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    each = 8 // bits
    lines = NUMBERS.reshape(44, -1, each)
    packed = sum(lines[..., i].astype(int) << (8 - bits * (i + 1)) for i in range(each)).astype(np.uint8)
    header = (60).to_bytes(4, "big") + (44).to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0])
    content = b"".join(b"\0" + line.tobytes() for line in packed)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(png)
    np.testing.assert_array_equal(rows(tmp_path / "x.png", labels=True), NUMBERS)
    np.testing.assert_array_equal(rows(tmp_path / "x.png"), NUMBERS * (255 // ((1 << bits) - 1)))


def test_label_maps_in_colours_and_with_loss_are_refused(tmp_path):
    coloured = Image.fromarray(NUMBERS, "P")
    coloured.putpalette(COLOURS)
    coloured.convert("RGB").save(tmp_path / "x.png")
    with pytest.raises(VolumeError, match="x.png: a label map must hold one number a pixel; found colours"):
        rows(tmp_path / "x.png", labels=True)
    Image.fromarray(NUMBERS).save(tmp_path / "x.jpg")
    with pytest.raises(VolumeError, match="x.jpg: a label map must be stored without loss"):
        rows(tmp_path / "x.jpg", labels=True)


@pytest.mark.parametrize("colour_type, channels", [(2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits_with_colours_or_alpha_is_refused(tmp_path, colour_type, channels):
    """Pillow reads the upper 8 bits alone: labels 1 and 2 would all be 0."""
    stored = np.repeat(NUMBERS[:, :, None], channels, 2).astype(">u2")
    data = b"".join(b"\0" + row.tobytes() for row in stored)
    head = struct.pack(">IIBBBBB", NUMBERS.shape[1], NUMBERS.shape[0], 16, colour_type, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, part in ((b"IHDR", head), (b"IDAT", zlib.compress(data)), (b"IEND", b"")):
        content += struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
    (tmp_path / "x.png").write_bytes(content)
    for labels in (True, False):
        with pytest.raises(VolumeError, match="x.png: an image of 16 bits must be grey, without alpha"):
            rows(tmp_path / "x.png", labels)


@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_of_16_bits_with_colours_is_refused(tmp_path, channels):
    stored = np.repeat(NUMBERS[:, :, None].astype(np.uint16) * 300, channels, 2)
    sitk.WriteImage(sitk.GetImageFromArray(stored, isVector=True), str(tmp_path / "x.tif"))
    for labels in (True, False):
        with pytest.raises(VolumeError, match="x.tif: an image of 16 bits must be grey, without alpha"):
            rows(tmp_path / "x.tif", labels)


def _bmp(numbers, bits, palette):
    """A BMP, written by its description: rows from below, packed, each of whole 4 bytes; blue, green, red, 0."""
    digits = np.unpackbits(numbers[::-1, :, None], axis=2)[..., 8 - bits :].reshape(len(numbers), -1)
    packed = np.packbits(np.pad(digits, ((0, 0), (0, -digits.shape[1] % 32))), axis=1).tobytes()
    colours = b"".join(bytes([blue, green, red, 0]) for red, green, blue in palette)
    start = 54 + len(colours)
    head = struct.pack("<IiiHHIIiiII", 40, *numbers.shape[::-1], 1, bits, 0, len(packed), 0, 0, len(palette), 0)
    return b"BM" + struct.pack("<IHHI", start + len(packed), 0, 0, start) + head + colours + packed


def test_bmp_whose_bits_pillow_takes_for_others(tmp_path):
    """With a palette of black and white or of greys, Pillow takes 8 bits for 1, and 4 for 8."""
    two, greys = [(0, 0, 0), (255, 255, 255)], [(i, i, i) for i in range(16)]
    for numbers, bits, palette in ((NUMBERS > 0, 8, two), (NUMBERS > 0, 4, two), (NUMBERS, 4, greys)):
        (tmp_path / "x.bmp").write_bytes(_bmp(numbers.astype(np.uint8), bits, palette))
        for labels in (True, False):
            with pytest.raises(VolumeError, match=f"x.bmp: a BMP with a palette of greys .* found {bits} bits"):
                rows(tmp_path / "x.bmp", labels)
    colours = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    read = (NUMBERS > 0, 1, two), (NUMBERS, 8, greys), (NUMBERS, 8, colours), (NUMBERS, 4, colours)
    for numbers, bits, palette in read:
        (tmp_path / "x.bmp").write_bytes(_bmp(numbers.astype(np.uint8), bits, palette))
        np.testing.assert_array_equal(rows(tmp_path / "x.bmp", labels=True), numbers)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_label_maps_in_the_alpha_channel_are_refused(tmp_path, mode):
    plain, numbers = Image.new("L", (60, 44), 7), Image.fromarray(NUMBERS)
    Image.merge(mode, [plain] * (len(mode) - 1) + [numbers]).save(tmp_path / "x.png")
    with pytest.raises(VolumeError, match="x.png: a label map must not be in the alpha channel"):
        rows(tmp_path / "x.png", labels=True)
    Image.merge(mode, [numbers] * (len(mode) - 1) + [plain]).save(tmp_path / "x.png")
    np.testing.assert_array_equal(rows(tmp_path / "x.png", labels=True), NUMBERS)


@pytest.mark.parametrize("stored", [NUMBERS, NUMBERS > 0, NUMBERS.astype(np.uint16)])
def test_label_maps_with_0_as_white_are_refused(tmp_path, stored):
    """Pillow turns them round, where they have up to 8 bits: label 1 would be 254, or 0 of 1 bit."""
    Image.fromarray(stored).save(tmp_path / "x.tif")
    assert set(np.unique(rows(tmp_path / "x.tif", labels=True))) == set(np.unique(stored))
    content = bytearray((tmp_path / "x.tif").read_bytes())
    entry = content.index(b"\x06\x01\x03\x00\x01\x00\x00\x00")  # tag 262, one short
    content[entry + 8 : entry + 12] = bytes(4)
    (tmp_path / "x.tif").write_bytes(content)
    with pytest.raises(VolumeError, match="x.tif: a label map must store 0 as black"):
        rows(tmp_path / "x.tif", labels=True)


def test_each_part_of_a_png_is_compared_with_its_checksum(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "x.png", compress_level=0, dpi=(72, 72))
    whole = (tmp_path / "x.png").read_bytes()
    for place in (*range(20, 60, 7), *range(100, len(whole) - 12, len(whole) // 9)):
        (tmp_path / "x.png").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(VolumeError, match="x.png: cannot be read, truncated or damaged"):
            VolumeReader().read(tmp_path / "x.png")


def test_one_limit_of_size_not_that_of_pillow(tmp_path, monkeypatch):
    Image.new("1", (20_000, 12_000)).save(tmp_path / "x.png")
    monkeypatch.setenv("MEDGENESIS_MAX_GIB", "0.5")
    with pytest.raises(VolumeError, match="x.png: may unpack to at most 0.5 GiB"):
        rows(tmp_path / "x.png")
    Image.fromarray(GREY).save(tmp_path / "y.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(rows(tmp_path / "y.png"), GREY)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_pixel_types_of_tiff_are_those_of_itk(tmp_path, kind, orientation):
    most = 2**20 if kind == "float32" else np.iinfo(kind).max
    values = np.linspace(-most - 1 if kind[0] in "if" else 0, most, 44 * 60).reshape(44, 60).astype(kind)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "x.tif"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "x.tif"))), values)
    content = bytearray((tmp_path / "x.tif").read_bytes())
    entry = content.index(b"\x12\x01\x03\x00\x01\x00\x00\x00")  # tag 274, one short
    content[entry + 8] = orientation
    (tmp_path / "x.tif").write_bytes(content)
    expected = values if orientation == 1 else np.rot90(values, -1)
    for labels in (False, True):
        np.testing.assert_array_equal(rows(tmp_path / "x.tif", labels), expected)


def tiff(stored, white_is_0, sample_format):
    """A TIFF of one strip, whatever the pixel type is."""
    sides = [(256, stored.shape[1]), (257, stored.shape[0]), (258, 8 * stored.itemsize), (259, 1)]
    sides += [(262, 0 if white_is_0 else 1), (273, 8), (277, 1), (278, stored.shape[0]), (279, stored.nbytes)]
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*sides, (339, sample_format)])
    return b"II*\0" + struct.pack("<I", 8 + stored.nbytes) + stored.tobytes() + struct.pack("<H", 10) + tags + bytes(4)


@pytest.mark.parametrize("kind, white_is_0, sample_format", [("<f8", False, 3), ("<u4", True, 1), ("<u8", False, 1)])
def test_pixel_types_that_are_not_read_are_told_as_such(tmp_path, kind, white_is_0, sample_format):
    (tmp_path / "x.tif").write_bytes(tiff(GREY.astype(kind), white_is_0, sample_format))
    with pytest.raises(VolumeError, match="x.tif: a TIFF must have a pixel type that is read; found .*Save it as 8 or"):
        rows(tmp_path / "x.tif")
    (tmp_path / "x.tif").write_bytes(tiff(GREY.astype("<u4"), False, 1))
    np.testing.assert_array_equal(rows(tmp_path / "x.tif"), GREY)
