"""Cubes round LUNA16's candidates: each shows the place that the table names, whatever way the scan is stored."""

import json

import numpy as np
import pytest

from medgenesis.data import load_datalist, preprocessing
from medgenesis.datasets import luna16_candidates
from medgenesis.errors import DatalistError
from medgenesis.storage.tables import write_table

SPACING, OFFSET, SHAPE = (0.7, 0.8, 2.5), (-70.5, 12.0, -300.0), (40, 36, 20)
SIZE = (8, 6, 4)
COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "class")


def write_scan(folder, name, voxels, signs):
    """A MetaImage whose axes run along (signs) or against the patient's; returns voxel -> LPS mm."""
    folder.mkdir(parents=True, exist_ok=True)
    matrix = np.diag(signs)
    text = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    text += ["CompressedData = False", f"TransformMatrix = {' '.join(str(int(v)) for v in matrix.ravel())}"]
    text += [f"Offset = {' '.join(map(str, OFFSET))}", f"ElementSpacing = {' '.join(map(str, SPACING))}"]
    text += [
        f"DimSize = {' '.join(map(str, voxels.shape))}",
        "ElementType = MET_SHORT",
        f"ElementDataFile = {name}.raw",
    ]
    (folder / f"{name}.mhd").write_text("\n".join(text) + "\n")
    (folder / f"{name}.raw").write_bytes(voxels.astype("<i2").tobytes(order="F"))
    return lambda place: np.asarray(OFFSET) + matrix @ (np.asarray(place) * SPACING)


@pytest.fixture
def luna(tmp_path):
    """Two scans in two folds; at each candidate a voxel of its own value, in a scan of noise."""
    rng, rows, values = np.random.default_rng(0), [], {}
    for fold, name, signs in ((0, "1.2.3", (1, 1, 1)), (7, "1.2.4", (-1, 1, -1))):
        voxels = rng.integers(-900, -700, SHAPE).astype(np.int16)
        for number in range(6):
            place = tuple(rng.integers(0, side) for side in SHAPE) if number else (0, 0, 0)  # one in a corner
            voxels[place] = value = 100 + 10 * fold + number
            rows.append([name, place, int(number == 1)])
            values[name, place] = value
        world = write_scan(tmp_path / "luna" / f"subset{fold}", name, voxels, signs)
        rows = [[name, *world(row[1]), row[2]] if row[0] == name and len(row) == 3 else row for row in rows]
    rows.append(["9.9.9", 0, 0, 0, 1])  # of a scan that is not there
    write_table(tmp_path / "candidates.csv", rows, COLUMNS, decimals=".12g")
    return tmp_path, values


def test_the_middle_of_each_cube_is_the_candidate(luna):
    folder, values = luna
    path = luna16_candidates(folder / "luna", folder / "candidates.csv", folder / "ncc", size=SIZE, negatives=None)
    listed = json.loads(path.read_text())
    assert [len(listed[section]) for section in ("training", "validation", "test")] == [6, 0, 6]
    seen = []
    for section in ("training", "test"):
        for record in load_datalist(path, section):
            cube = preprocessing(intensity=None)(record)["image"][0].numpy()
            assert cube.shape == SIZE
            seen.append((int(cube[tuple(side // 2 for side in SIZE)]), record["class"], record["patient"]))
    assert sorted(value for value, _, _ in seen) == sorted(values.values())
    assert [value % 10 for value, positive, _ in seen if positive] == [1, 1]
    assert {patient for _, _, patient in seen} == {"1.2.3", "1.2.4"}


def test_outside_of_the_scan_is_air(luna):
    folder, _ = luna
    luna16_candidates(folder / "luna", folder / "candidates.csv", folder / "ncc", size=(8, 8, 8), negatives=None)
    corner = next(cube for cube in np.load(folder / "ncc" / "fold_0.npy") if cube[4, 4, 4] == 100)
    assert (corner[:4] == -1000).all() and (corner[4:, 4:, 4:] > -1000).all()


def test_negatives_are_drawn_by_the_seed(luna):
    folder, _ = luna
    files = [
        luna16_candidates(
            folder / "luna", folder / "candidates.csv", folder / f"{i}", size=SIZE, negatives=2, seed=seed
        )
        for i, seed in enumerate((0, 0, 1))
    ]
    stacks = [np.load(path.with_name("fold_0.npy")) for path in files]
    assert [len(one) for one in stacks] == [3, 3, 3] and np.array_equal(stacks[0], stacks[1])


def test_what_is_missing_is_named(luna, tmp_path):
    folder, _ = luna
    with pytest.raises(DatalistError, match="must hold subset0"):
        luna16_candidates(folder / "ncc", folder / "candidates.csv", folder / "out")
    write_table(folder / "other.csv", [["a", 1]], ("seriesuid", "x"))
    with pytest.raises(DatalistError, match="must have the columns seriesuid"):
        luna16_candidates(folder / "luna", folder / "other.csv", folder / "out")
    for row, message in (
        (["1.2.3", 0, "n/a", 0, 1], "coordY must be a number; found 'n/a'"),
        (["1.2.3", 0, 0, 0, 2], "its class must be one of 0, 1; found '2'"),
    ):
        write_table(folder / "odd.csv", [["1.2.3", 0, 0, 0, 1], row], COLUMNS)
        with pytest.raises(DatalistError, match=rf"odd\.csv, row 3: {message}"):
            luna16_candidates(folder / "luna", folder / "odd.csv", folder / "out")
    write_table(folder / "none.csv", [["1.2.3", 0, 0, 0, 0]], COLUMNS)
    with pytest.raises(DatalistError, match="subset0: must have candidates of class 1"):
        luna16_candidates(folder / "luna", folder / "none.csv", folder / "out")


def _classes(path):
    listed = json.loads(path.read_text())
    return [(record["patient"], record["class"]) for one in ("training", "test") for record in listed[one]]


def test_blanks_round_a_class_or_a_series_change_nothing(luna):
    """`1 ` was counted as no nodule, and a row of `1.2.3 ` was left out."""
    folder, _ = luna
    text = (folder / "candidates.csv").read_text()
    changed = "\n".join(f"{series} ,{rest} " for series, _, rest in (one.partition(",") for one in text.splitlines()))
    (folder / "blanks.csv").write_text(changed + "\n")
    found = [
        _classes(luna16_candidates(folder / "luna", folder / name, folder / name[0], size=SIZE, negatives=2))
        for name in ("candidates.csv", "blanks.csv")
    ]
    assert found[0] == found[1] and sum(label for _, label in found[1]) == 2


def test_a_place_outside_of_its_scan_is_refused(luna):
    """It became a cube of pure air, of class 1."""
    folder, _ = luna
    row = ["1.2.3", -70.5, 12.0, -3000.0, 1]
    write_table(folder / "odd.csv", [["1.2.3", *OFFSET, 1], row, ["1.2.4", *OFFSET, 1]], COLUMNS)
    with pytest.raises(DatalistError, match=r"odd\.csv, row 3: its place must be in the scan.* mm outside of 1\.2\.3,"):
        luna16_candidates(folder / "luna", folder / "odd.csv", folder / "out", size=SIZE)
    assert not list((folder / "out").iterdir())


def test_rows_without_a_scan_and_scans_without_a_row_are_counted(luna, caplog):
    folder, _ = luna
    write_scan(folder / "luna" / "subset0", "1.2.5", np.zeros(SHAPE, np.int16), (1, 1, 1))
    luna16_candidates(folder / "luna", folder / "candidates.csv", folder / "ncc", size=SIZE)
    assert "1 of 13 rows left out, their scans are not there: 1 series (9.9.9)" in caplog.text
    assert "1 of 3 scans have no row (1.2.5)" in caplog.text
