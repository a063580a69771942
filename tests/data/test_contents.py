"""What a list holds is told by its records and files, not by where they lie or what it is called."""

import shutil
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from medgenesis.data.contents import contents_of


def told(folder, names, **more):
    return contents_of(SimpleNamespace(data=[{"image": str(folder / name), **more} for name in names]))


def test_moved_files_are_the_same_and_others_are_not(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("p0", "p1"):
        (tmp_path / "a" / name).write_bytes(b"x" * 10)
    known = told(tmp_path / "a", ["p0", "p1"])
    assert known.startswith("2 records, content ")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert told(tmp_path / "b", ["p0", "p1"]) == known
    assert told(tmp_path / "a", ["p1", "p0"]) != known
    assert told(tmp_path / "a", ["p0"]) != known
    assert told(tmp_path / "a", ["p0", "p1"], **{"class": 1}) != known
    (tmp_path / "b" / "p1").write_bytes(b"x" * 11)
    assert told(tmp_path / "b", ["p0", "p1"]) != known


def test_series_and_channels(tmp_path):
    for series in ("s0", "s1"):
        (tmp_path / series).mkdir()
        (tmp_path / series / "1.dcm").write_bytes(b"x")
    known = contents_of(SimpleNamespace(data=[{"image": [str(tmp_path / "s0"), str(tmp_path / "s1")]}]))
    (tmp_path / "s1" / "2.dcm").write_bytes(b"x")
    assert contents_of(SimpleNamespace(data=[{"image": [str(tmp_path / "s0"), str(tmp_path / "s1")]}])) != known


records = st.dictionaries(
    st.text(max_size=3), st.integers() | st.text(max_size=3) | st.lists(st.integers()), max_size=3
)


@given(st.lists(records, min_size=1, max_size=3), st.lists(records, min_size=1, max_size=3))
def test_equal_where_the_records_are(one, other):
    told = [contents_of(SimpleNamespace(data=records)) for records in (one, other)]
    assert (told[0] == told[1]) == (one == other)


def test_what_does_not_say_it():
    assert contents_of([1, 2]) is None and contents_of(SimpleNamespace(data=[])) is None
