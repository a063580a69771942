"""A file of vectors and what is known of them: read back as it was, named where it cannot be."""

import json

import numpy as np
import pytest

from medgenesis.errors import DatalistError
from medgenesis.storage.vectors_file import load_vectors, save_vectors

VECTORS, ABOUT = np.arange(6, dtype=np.float32).reshape(2, 3), {"names": ["a", "\u00e9"], "done": True}


def load(path, made=lambda *pair: pair, format=1):
    return load_vectors(path, made, format, "things")


def test_what_is_read_is_what_was_written(tmp_path):
    path = tmp_path / "new" / "things"  # a name without a suffix stays
    save_vectors(path, VECTORS, ABOUT, 1)
    assert [one.name for one in path.parent.iterdir()] == ["things"]
    vectors, about = load(path)
    assert vectors.dtype == np.float32 and np.array_equal(vectors, VECTORS) and about == {"format": 1, **ABOUT}


def test_it_is_a_file_of_numpy_without_a_pickle(tmp_path):
    save_vectors(tmp_path / "things.npz", VECTORS, ABOUT, 1)
    with np.load(tmp_path / "things.npz", allow_pickle=False) as archive:
        assert sorted(archive) == ["about", "vectors"]
        assert json.loads(archive["about"].tobytes().decode())["names"] == ABOUT["names"]


def test_what_cannot_be_read_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "things.npz"
    said = r"things.npz: cannot be read as things \(.+\)\. Remove it, and compute them anew\."
    with pytest.raises(DatalistError, match=said):
        load(path)
    save_vectors(path, VECTORS, ABOUT, 2)
    with pytest.raises(DatalistError, match="its format must be at most 1; found 2. Update medgenesis."):
        load(path)
    with pytest.raises(DatalistError, match=said):
        load(path, lambda vectors, about: about["absent"], 2)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatalistError, match=said):
        load(path, format=2)
    np.savez(path, vectors=np.array([object()]), about=np.zeros(1, np.uint8))
    with pytest.raises(DatalistError, match=said):
        load(path)
