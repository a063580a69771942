"""Unpacking by ISA-L and by zlib: the same bytes, and the same errors, as the standard library's."""

import gzip

import nibabel
import numpy as np
import pytest

from medgenesis.errors import VolumeError
from medgenesis.io import VolumeReader, unpacking

CONTENT = np.random.default_rng(0).normal(0, 20, 700_000).astype(np.int8).tobytes()
GOOD = gzip.compress(CONTENT, mtime=0)
STREAMS = {
    "one member": GOOD,
    "three members": b"".join(gzip.compress(CONTENT[i : i + 300_000]) for i in range(0, len(CONTENT), 300_000)),
    "zeros between and behind": gzip.compress(CONTENT[:1000]) + bytes(7) + gzip.compress(CONTENT[1000:]) + bytes(600),
    "nothing": gzip.compress(b""),
}


@pytest.fixture(params=["ISA-L", "zlib"])
def library(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setattr(unpacking, "igzip", None)
    else:
        pytest.importorskip("isal")
    return request.param


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_all_bytes_come_read_at_once_and_into_a_buffer(tmp_path, library, stream):
    (path := tmp_path / "a.GZ").write_bytes(stream)
    expected = gzip.decompress(stream)
    assert unpacking.from_unpacked(path, lambda file: file.read()) == expected

    def into_a_buffer(file):
        buffer = np.zeros(len(expected) + 9, np.uint8)
        return file.readinto(buffer.view(np.int8)), buffer.tobytes(), file.read()

    assert unpacking.from_unpacked(path, into_a_buffer) == (len(expected), expected + bytes(9), b"")


def test_a_file_of_another_suffix_is_read_as_it_is(tmp_path):
    (path := tmp_path / "a.nii").write_bytes(GOOD)
    assert unpacking.from_unpacked(path, lambda file: file.read()) == GOOD


def damaged():
    voxels = np.random.default_rng(1).integers(-1000, 1000, (40, 41, 42)).astype(np.int16)
    raw = nibabel.Nifti1Image(voxels, np.eye(4)).to_bytes()
    good = gzip.compress(raw, mtime=0)
    for length in (5, 20, 300, len(good) // 2, len(good) - 8, len(good) - 1):
        yield f"cut at {length}", good[:length]
    for place in (12, 40, 1000, 20_000, len(good) - 6, len(good) - 2):
        yield f"flipped at {place}", good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :]
    yield "other bytes behind", good + b"junk"
    yield "second member cut", gzip.compress(raw[:1000]) + gzip.compress(raw[1000:])[:-3]
    yield "a byte more than voxels", gzip.compress(raw + b"x")
    yield "a byte too few", gzip.compress(raw[:-1])


@pytest.mark.parametrize("content", [one for _, one in damaged()], ids=[name for name, _ in damaged()])
def test_damaged_files_are_refused_in_the_words_of_the_standard_library(tmp_path, monkeypatch, content):
    pytest.importorskip("isal")
    (path := tmp_path / "a.nii.gz").write_bytes(content)
    messages = []
    for use in (unpacking.igzip, None):
        monkeypatch.setattr(unpacking, "igzip", use)
        with pytest.raises(VolumeError) as caught:
            VolumeReader().read(path)
        messages.append((str(caught.value), type(caught.value.__cause__)))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("error", [ValueError, VolumeError])
def test_an_error_of_the_reader_is_no_reason_to_read_again(tmp_path, library, error):
    (path := tmp_path / "a.gz").write_bytes(GOOD)
    calls = []

    def read(file):
        calls.append(file)
        raise error("of the content")

    with pytest.raises(error, match="of the content"):
        unpacking.from_unpacked(path, read)
    assert len(calls) == 1
