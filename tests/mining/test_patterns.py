"""The table on the disk: whole, movable, readable by MONAI, and refused where it is wrong."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from monai.data import load_decathlon_datalist

from medgenesis.errors import DatalistError, OutputError
from medgenesis.mining import PatternTable, VolumeInfo


@pytest.fixture
def table(tmp_path):
    """Four volumes (three of training), two classes; the files exist."""
    volumes = []
    for i in range(4):
        path = tmp_path / "data" / "scans" / f"{i}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        section = "training" if i < 3 else "validation"
        box = ((0, 1, 2), (19, 20, 21)) if i else None
        volumes.append(VolumeInfo(str(path), f"p{i}", section, (20, 20, 21), (0.7, 0.7, 1.25), box))

    def item(i, label, resolution=1, reference=False, size=(8, 8, 4)):
        return {
            "image": volumes[i].image,
            "patient": volumes[i].patient,
            "class": label,
            "resolution": resolution,
            "origin": [3 * label, 2, 5],
            "size": list(size),
            "distance": 0.1 * i,
            "reference": reference,
        }

    training = [item(0, 0, reference=True), item(0, 0, 2, size=(9, 9, 4)), item(1, 0), item(2, 1, reference=True)]
    settings = {"cube_size": [8, 8, 4], "rule": "lung", "coordinates": "voxel"}
    return PatternTable(settings, volumes, training, [item(3, 0), item(3, 1)])


def test_what_was_saved_is_loaded(table, tmp_path):
    for folder in ("data", "elsewhere/deep"):
        path = tmp_path / folder / "patterns.json"
        table.save(path)
        assert PatternTable.load(path) == table
        assert sorted(path.parent.glob("*.json")) == [path]


def test_names_are_relative_and_move_along(table, tmp_path):
    path = tmp_path / "data" / "patterns.json"
    table.save(path)
    found = json.loads(path.read_text())
    assert found["format"] == 1
    assert found["training"][0]["image"] == found["volumes"][0]["image"] == "scans/0.nii.gz"
    shutil.move(tmp_path / "data", tmp_path / "moved")
    loaded = PatternTable.load(tmp_path / "moved" / "patterns.json")
    assert loaded.training[0]["image"] == loaded.volumes[0].image == str(tmp_path / "moved" / "scans" / "0.nii.gz")
    table.save(tmp_path / "tables" / "patterns.json")
    found = json.loads((tmp_path / "tables" / "patterns.json").read_text())
    assert found["training"][0]["image"] == "../data/scans/0.nii.gz"


def test_a_file_that_stands_for_its_patient_moves_along(table, tmp_path):
    volume = replace(table.volumes[1], patient=table.volumes[1].image)
    table.volumes[1] = volume
    table.training[2]["patient"] = volume.image
    table.save(tmp_path / "data" / "patterns.json")
    assert str(tmp_path) not in (tmp_path / "data" / "patterns.json").read_text()
    shutil.move(tmp_path / "data", tmp_path / "moved")
    loaded = PatternTable.load(tmp_path / "moved" / "patterns.json")
    moved = str(tmp_path / "moved" / "scans" / "1.nii.gz")
    assert loaded.volumes[1].patient == loaded.training[2]["patient"] == moved
    assert loaded.volumes[0].patient == "p0"


@pytest.mark.parametrize("section", ["training", "validation"])
def test_monai_reads_it(table, tmp_path, section):
    path = tmp_path / "tables" / "patterns.json"
    table.save(path)
    assert load_decathlon_datalist(path, is_segmentation=False, data_list_key=section) == table.items(section)
    assert load_decathlon_datalist(path, data_list_key=section) == table.items(section)


def test_an_item_is_a_line(table, tmp_path):
    table.save(tmp_path / "patterns.json")
    lines = (tmp_path / "patterns.json").read_text().splitlines()
    assert sum('"resolution"' in line for line in lines) == len(table.training) + len(table.validation)


def test_counts(table):
    assert table.num_classes == 2
    assert [len(table.items(section)) for section in ("training", "validation")] == [4, 2]
    assert [item["patient"] for item in table.references] == ["p0", "p2"]
    with pytest.raises(ValueError, match="training, validation; found 'test'"):
        table.items("test")
    assert PatternTable({}, [], [], []).num_classes == 0


def test_absent_volumes_are_named(table, tmp_path):
    path = tmp_path / "data" / "patterns.json"
    table.save(path)
    for volume in table.volumes:
        Path(volume.image).unlink()
    names = r", ".join(rf"\S*scans/{i}\.nii\.gz" for i in range(3))
    with pytest.raises(
        DatalistError, match=rf"patterns\.json: its volumes must be there; found 4 of 4 absent, the first {names}"
    ):
        PatternTable.load(path)


def test_a_volume_that_no_cube_comes_from_may_be_absent(table, tmp_path):
    path = tmp_path / "data" / "patterns.json"
    table.training = [item for item in table.training if item["image"] != table.volumes[1].image]
    table.save(path)
    Path(table.volumes[1].image).unlink()
    assert PatternTable.load(path) == table


def written(table, path, change):
    table.save(path)
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    return path


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.update(format=2), "its format must be 1 or less; found 2"),
        (lambda t: t.pop("format"), 'whole number "format"'),
        (lambda t: t.pop("validation"), "'validation' must be a list"),
        (lambda t: t.update(settings=[]), "'settings' must be a dict"),
        (lambda t: t["volumes"][1].pop("shape"), "malformed.*shape"),
        (lambda t: t["volumes"][1].update(colour="red"), "malformed.*colour"),
        (lambda t: t["volumes"].append(t["volumes"][0]), "found 1 of them twice"),
        (lambda t: t["training"][2].pop("image"), "malformed.*image"),
        (lambda t: t["training"].append("scan"), "malformed"),
        (lambda t: t["training"][2].update(image="other.nii"), "item 2 of 'training'.*other.nii, which is not among"),
        (lambda t: t["training"][2].update({"class": -1}), "item 2 of 'training' has \"class\" -1"),
        (lambda t: t["training"][2].update({"class": 1.5}), "1.5"),
        (lambda t: t["validation"][1].update({"class": True}), "item 1 of 'validation' has \"class\" True"),
        (lambda t: t["validation"][1].update({"class": 2}), "class 2 has no training item"),
        (lambda t: t["training"][3].update({"class": 3}), "class 1 has no training item"),
        (lambda t: t["training"].clear(), "class 0 has no training item"),
        (lambda t: (t["training"].clear(), t["validation"].clear()), "no training items"),
        (lambda t: t["training"][2].update(reference=True), "1 reference; found 2 of class 0"),
        (lambda t: t["training"][3].update(reference=False), "1 reference; found 0 of class 1"),
        (
            lambda t: t["training"][2].update(size=[8, 7, 4]),
            r"\[8, 7, 4\], which at resolution 1 must be .* \[8, 8, 4\]",
        ),
        (lambda t: t["settings"].pop("cube_size"), '"cube_size".*None'),
        (lambda t: t["settings"].update(cube_size=[8, 8]), '"cube_size".*three whole numbers'),
        (lambda t: t["settings"].update(cube_size=[8, 8, 0]), '"cube_size".*three whole numbers'),
        (lambda t: t["training"][2].update(resolution=4), '"resolution" of 1, 2 or 3'),
        (lambda t: t["training"][2].pop("distance"), '"distance"'),
        (lambda t: t["training"][2].update(origin=[13, 0, 0]), r"1\.nii\.gz\) leaves its volume: origin \[13, 0, 0\]"),
        (lambda t: t["training"][2].update(origin=[-1, 0, 0]), "leaves its volume"),
        (lambda t: t["training"][2].update(size=[8, 8, 0]), "leaves its volume"),
        (lambda t: t["training"][2].update(origin=[1, 2]), "3 whole numbers"),
        (lambda t: t["training"][2].update(size=[8.0, 8, 4]), "3 whole numbers"),
    ],
)
def test_a_table_that_breaks_a_rule_is_refused_by_name(table, tmp_path, change, message):
    path = written(table, tmp_path / "data" / "patterns.json", change)
    with pytest.raises(DatalistError, match=rf"patterns\.json: (?s:.*){message}"):
        PatternTable.load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_no_table(tmp_path, text):
    path = tmp_path / "patterns.json"
    path.write_text(text)
    with pytest.raises(DatalistError, match=r"patterns\.json: "):
        PatternTable.load(path)
    with pytest.raises(DatalistError, match="table of patterns; found no file"):
        PatternTable.load(tmp_path / "other.json")


def test_a_wrong_table_is_not_written(table, tmp_path, full_disk):
    path = tmp_path / "data" / "patterns.json"
    table.save(path)
    before = path.read_bytes()
    wrong = copy.deepcopy(table)
    wrong.training[0]["origin"] = [15, 0, 0]
    with pytest.raises(DatalistError, match="leaves its volume"):
        wrong.save(path)
    wrong = copy.deepcopy(table)
    wrong.settings["seed"] = object()
    with pytest.raises(TypeError):
        wrong.save(path)
    assert path.read_bytes() == before
    with pytest.raises(OutputError, match="patterns.json: must be a folder; found a file"):
        table.save(path / "patterns.json")
    full_disk()
    with pytest.raises(OutputError, match=r"patterns.json: cannot be written \(No space left on device\)") as raised:
        table.save(path)
    assert str(raised.value).count("cannot be written") == 1
