"""Tables: what Python's own reader gives back, the formats of numbers, and what is refused."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.storage.tables import read_table, write_table

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=6)


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_any_text_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    write_table(path, rows, ["first, column", 'second "column"'])
    assert read(path) == [["first, column", 'second "column"'], *map(list, rows)]
    assert [tuple(row.values()) for row in read_table(path)] == rows


def test_mappings_are_laid_out_by_column_and_what_lacks_is_empty(tmp_path):
    path = tmp_path / "new" / "t.csv"
    write_table(path, [{"b": 1, "a": "x"}, {"c": None, "a": "y"}])
    assert read(path) == [["b", "a", "c"], ["1", "x", ""], ["", "y", ""]]
    write_table(path, ({"b": i} for i in range(2)), ["a", "b"])
    assert read(path) == [["a", "b"], ["", "0"], ["", "1"]]
    assert [name.name for name in path.parent.iterdir()] == ["t.csv"]


def test_numbers_are_written_in_the_formats_that_are_said(tmp_path):
    path, value = tmp_path / "t.csv", 1234567.891
    row = [value, np.float32(0.1), 7, np.int64(12345678), True, float("nan")]
    columns = list("abcdef")
    write_table(path, [row], columns)
    assert read(path)[1] == [f"{value:.6g}", "0.1", "7", "12345678", "True", "nan"]
    write_table(path, [row], columns, decimals={"a": ".1f"})
    assert read(path)[1][:2] == ["1234567.9", "0.1"]
    write_table(path, [row], columns, decimals="")
    assert read(path)[1][0] == str(value)


def test_lines_end_in_a_line_feed_and_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "t.csv"
    write_table(path, [["µm"]], ["unit"])
    assert path.read_bytes() == "unit\nµm\n".encode()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_table(path) == [{"unit": "µm"}]


@pytest.mark.parametrize(
    "rows, columns, what",
    [
        ([{"a": 1, "z": 2}], ["a"], "z"),
        ([[1, 2]], ["a"], "1 cells; found 2"),
        ([[]], ["a"], "found 0"),
        ([[1, 2]], ["a", "a"], "a name each"),
        ([[1]], None, "must be given"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_the_old_file_stays(tmp_path, rows, columns, what):
    path = tmp_path / "t.csv"
    write_table(path, [["old"]], ["a"])
    with pytest.raises(ValueError, match=what):
        write_table(path, rows, columns)
    assert read_table(path) == [{"a": "old"}]


def test_a_row_that_fails_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "t.csv"
    write_table(path, [["old"]], ["a"])

    def rows():
        yield ["new"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(path, rows(), ["a"])
    assert read_table(path) == [{"a": "old"}]
    assert io.StringIO(path.read_text()).readlines() == ["a\n", "old\n"]


def test_a_row_with_more_cells_than_the_heading_is_refused(tmp_path):
    """As a spreadsheet with decimal commas writes it: the last of its cells were cut off."""
    (tmp_path / "t.csv").write_text("epoch,loss\n1,0,5\n")
    with pytest.raises(ValueError, match=r"t\.csv: a row must have no more cells .* found \['1', '0', \['5'\]\]\."):
        read_table(tmp_path / "t.csv")
