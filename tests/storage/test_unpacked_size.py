"""What a small file may unpack to."""

import pytest

from medgenesis.storage.unpacked_size import ORDINARY_RATIO, refuse_bomb


def test_a_file_that_holds_its_own_data_counts_once(tmp_path, monkeypatch):
    path = tmp_path / "x.mha"
    path.write_bytes(bytes(range(256)) * 64)
    monkeypatch.setenv("MEDGENESIS_MAX_GIB", "1e-9")
    most = ORDINARY_RATIO * path.stat().st_size
    refuse_bomb(path, most, path)
    for again in (path, str(path)):
        with pytest.raises(ValueError, match="x.mha: may unpack to at most"):
            refuse_bomb(path, most + 1, again)
