"""The published lists of ChestX-ray14, as they are, and broken in the ways that lists are."""

import logging

import pytest

from medgenesis.data import check_findings, load_datalist, preprocessing, write_datalist
from medgenesis.datasets import chestxray14_datalist, get_dataset
from medgenesis.errors import DatalistError

SECTIONS = ("training", "validation", "test")


@pytest.fixture
def images(tmp_path):
    """Images 1 to 20 of ten patients, in two folders as unpacked."""
    for patient in range(1, 11):
        for visit in range(2):
            path = tmp_path / f"images_{1 + patient // 6:03d}" / "images" / f"{patient:08d}_{visit:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path


def _list(folder, name, *lines):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def _line(patient, visit=0, findings=(), gap=" "):
    values = [str(int(place in findings)) for place in range(14)]
    return gap.join([f"{patient:08d}_{visit:03d}.png", *values])


def test_lists_of_their_own_are_the_sections(images, caplog):
    train = _list(images, "train.txt", _line(1, 0, [2, 13]), "", _line(1, 1), "   ", _line(7, 0, [0], "\t"), "")
    validation = _list(images, "val.txt", _line(2, 1, [1]), "00000003_000.png")
    datalist = chestxray14_datalist([train, validation], images)
    first, second, third = datalist["training"]
    assert first == {
        "image": str(images / "images_001" / "images" / "00000001_000.png"),
        "patient": "00000001",
        "intensity": "xray",
        "classes": [0, 0, 1, *[0] * 10, 1],
    }
    assert second["patient"] == first["patient"] and third["classes"] == [1, *[0] * 13]
    assert "images_002" in third["image"]
    assert "classes" not in datalist["validation"][1] and datalist["test"] == []
    assert datalist["class_names"][2] == "Effusion" and len(datalist["class_names"]) == 14
    assert "train.txt: 3 blank lines skipped" in caplog.text and "val.txt" not in caplog.text
    write_datalist(datalist, images / "list.json")
    assert load_datalist(images / "list.json") == datalist["training"]
    check_findings(datalist["training"], 14)
    with pytest.raises(DatalistError, match="classes: each record must have 14 numbers; found 1 of 2"):
        check_findings(datalist["validation"], 14)


def test_a_list_that_an_editor_on_windows_has_saved(images):
    """With a byte order mark, and lines that end in two characters."""
    path = images / "train.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([_line(1, 0, [2]), _line(2)]).encode() + b"\r\n")
    first, _ = chestxray14_datalist([path], images, splits=(1, 0, 0))["training"]
    assert first["patient"] == "00000001" and first["classes"][2] == 1


def test_one_list_is_split_by_patient(images):
    every = _list(images, "all.txt", *(_line(patient, visit) for patient in range(1, 11) for visit in range(2)))
    datalist = chestxray14_datalist([every], images, splits=(0.6, 0.2, 0.2), seed=3)
    patients = [{record["patient"] for record in datalist[section]} for section in SECTIONS]
    assert [len(one) for one in patients] == [6, 2, 2] and len(set.union(*patients)) == 10
    assert [len(datalist[section]) for section in SECTIONS] == [12, 4, 4]


def test_a_patient_on_both_sides(images):
    train, test = _list(images, "a.txt", _line(1, 0)), _list(images, "b.txt", _line(1, 1))
    with pytest.raises(DatalistError, match="in both training and validation, the first 00000001"):
        chestxray14_datalist([train, test], images)


@pytest.mark.parametrize(
    "lines, what",
    [
        ([_line(1), _line(2)[:-2]], r"bad.txt, line 2: must be a file name and 14 findings"),
        ([_line(1), "", _line(2) + " 1"], r"line 3: must be a file name and 14"),
        ([_line(2)[:-1] + "2"], r"line 1: .*0 or 1"),
        ([_line(1), _line(1)], r"line 2: .*found 00000001_000.png in the list already"),
        (
            [_line(1), _line(99), _line(98)],
            r"its images must be below .*found 2 of 3 absent, the first 00000099_000.png, 00000098_000.png",
        ),
        (["", " "], "must name images; found none"),
    ],
)
def test_broken_lists(images, lines, what):
    with pytest.raises(DatalistError, match=what):
        chestxray14_datalist([_list(images, "bad.txt", *lines)], images, splits=(1, 0, 0))


def test_what_is_not_there(images):
    with pytest.raises(DatalistError, match=r"absent.txt: cannot be read"):
        chestxray14_datalist([images / "absent.txt"], images)
    with pytest.raises(DatalistError, match="nowhere: must be a folder; found none"):
        chestxray14_datalist([images / "x.txt"], images / "nowhere")
    for lists in ([], ["a", "b", "c", "d"]):
        with pytest.raises(DatalistError, match="one to three list files"):
            chestxray14_datalist(lists, images)


def test_real_xrays(real_data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = real_data / "cxr_nih"
    names = sorted(path.name for path in folder.glob("*/*.png"))
    lines = [f"{name} {' '.join('0' * 14)}" for name in names]
    datalist = chestxray14_datalist([_list(tmp_path, "list.txt", *lines)], folder)
    assert sum(len(datalist[section]) for section in SECTIONS) == 100
    assert preprocessing()(datalist["test"][0])["image"].shape == (1, 1024, 1024)


def _published(folder, train=(1, 2, 3, 4, 5, 6), test=(7, 8), **labels):
    """NIH's own lists and table; a finding for patient 1, two for 7."""
    named = {1: "Effusion", 7: "Mass|Hernia", **labels}
    rows = ["Image Index,Finding Labels,Follow-up #,Patient ID"]
    for patient in range(1, 11):
        rows += [f"{patient:08d}_{visit:03d}.png,{named.get(patient, 'No Finding')},0,{patient}" for visit in range(2)]
    _list(folder, "Data_Entry_2017_v2020.csv", *rows)
    _list(folder, "train_val_list.txt", *(f"{patient:08d}_000.png" for patient in train))
    _list(folder, "test_list.txt", *(f"{patient:08d}_001.png" for patient in test))
    return folder


def test_as_nih_publishes_it(images):
    datalist = get_dataset("chestxray14")(_published(images), validation=1 / 3, seed=2)
    seen = {record["patient"]: record["classes"] for one in ("training", "validation") for record in datalist[one]}
    assert sorted(seen) == [f"{patient:08d}" for patient in range(1, 7)]
    assert seen["00000001"] == [0, 0, 1, *[0] * 11] and seen["00000002"] == [0] * 14
    assert len(datalist["validation"]) == 2 and len(datalist["training"]) == 4
    first, second = datalist["test"]
    assert first["image"].endswith("images_002/images/00000007_001.png") and first["intensity"] == "xray"
    assert [i for i, value in enumerate(first["classes"]) if value] == [4, 13] and sum(second["classes"]) == 0
    assert datalist["class_names"][4] == "Mass" and datalist["class_names"][13] == "Hernia"


def test_published_files_that_are_absent_or_odd(images):
    dataset = get_dataset("chestxray14")
    with pytest.raises(
        DatalistError, match="must hold train_val_list.txt.*0 such table.*train_val_list.txt and test_list"
    ):
        dataset(images)
    _published(images)
    (images / "Data_Entry_2017.csv").write_text("Image Index,Finding Labels\n")
    with pytest.raises(DatalistError, match=r"found 2 such table"):
        dataset(images)
    (images / "Data_Entry_2017_v2020.csv").unlink()
    with pytest.raises(DatalistError, match="a row for each image; found none for 6, the first 00000001_000.png"):
        dataset(images)
    (images / "Data_Entry_2017.csv").write_text("Image Index,Finding Labels\n00000001_000.png,Cough\n")
    with pytest.raises(DatalistError, match="some of the 14 findings; found 'Cough'"):
        dataset(images)
    (images / "Data_Entry_2017.csv").write_text("Image,Labels\n1,2\n")
    with pytest.raises(DatalistError, match="must have the columns"):
        dataset(images)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("00000002_000.png,Mass,0,2", "00000002_000.png: must have one row; found a second one"),
        ("00000099_000.png,Mass|No Finding,0,99", "00000099_000.png: must name findings, or No Finding; found both"),
    ],
)
def test_rows_that_contradict_are_refused(images, row, said):
    """The last of two rows counted, and `Mass|No Finding` was a mass."""
    with (_published(images) / "Data_Entry_2017_v2020.csv").open("a") as table:
        table.write(f"\n{row}\n")
    with pytest.raises(DatalistError, match=said.replace("|", r"\|")):
        get_dataset("chestxray14")(images)


def test_a_patient_in_both_official_lists_is_refused(images):
    with pytest.raises(DatalistError, match="in both training and test|in both validation and test"):
        get_dataset("chestxray14")(_published(images, test=(6, 7)))
