"""The published data sets of the transfer study, on miniature trees."""

import numpy as np
import pytest

from medgenesis.datasets import DATASETS
from medgenesis.datasets.bach import bach_datalist
from medgenesis.datasets.chestxray14_single import chestxray14_single_datalist
from medgenesis.datasets.chexpert import chexpert_datalist
from medgenesis.datasets.eyepacs import eyepacs_datalist
from medgenesis.datasets.ichallenge_amd import ichallenge_amd_datalist
from medgenesis.datasets.ichallenge_pm import ichallenge_pm_datalist
from medgenesis.datasets.montgomery import montgomery_datalist
from medgenesis.datasets.shenzhen import shenzhen_datalist
from medgenesis.datasets.stoic import stoic_datalist
from medgenesis.errors import DatalistError
from medgenesis.transfer.study_set import open_study_set

SECTIONS = ("training", "validation", "test")


def written(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"")


def table(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def by_name(found):
    return {one["image"].rpartition("/")[2]: one for section in SECTIONS for one in found.get(section, ())}


def bach(root):
    photos = root / "ICIAR2018_BACH_Challenge" / "Photos"
    names = [
        (f"{kind[:2].lower()}{n}.tif", kind) for n in range(5) for kind in ("Normal", "Benign", "InSitu", "Invasive")
    ]
    written(photos, *(f"{kind}/{file}" for file, kind in names))
    table(photos / "microscopy_ground_truth.csv", *(f"{file},{kind}" for file, kind in names))


def shenzhen(root):
    files = [f"CHNCXR_{n:04d}_{n % 2}.png" for n in range(20)]
    written(root / "ChinaSet_AllFiles" / "CXR_png", *files)
    rows = [f"{file},M,30,{' Normal ' if n % 2 == 0 else 'PTB, left'!r}" for n, file in enumerate(files)]
    rows = [row.replace("'", '"') for row in rows]
    table(root / "shenzhen_metadata.csv", "study_id,sex,age,findings", *rows)


def chexpert(root):
    rows = []
    for n in range(20):
        path = f"CheXpert-v1.0/train/patient{n // 2:05d}/study1/view{n % 2}.jpg"
        written(root, path)
        rows.append(f"{path},{'Frontal' if n % 2 == 0 else 'Lateral'},{['', '1.0', '0.0', '-1.0'][n // 2 % 4]}")
    table(root / "train.csv", "Path,Frontal/Lateral,Pleural Effusion", *rows)


def test_bach(tmp_path):
    bach(tmp_path)
    found = bach_datalist(tmp_path)
    assert by_name(found)["in3.tif"]["class"] == 2 or by_name(found)["in3.tif"]["class"] == 3  # InSitu and Invasive
    assert all(one["colour"] for one in by_name(found).values()) and found["class_names"][0] == "Normal"
    table(tmp_path / "ICIAR2018_BACH_Challenge" / "Photos" / "microscopy_ground_truth.csv", "no1.tif,Odd")
    with pytest.raises(DatalistError, match=r"row 1: its class must be one of Normal.* found 'Odd'"):
        bach_datalist(tmp_path)


def test_the_reference_split_is_the_shuffled_first_four_fifths(tmp_path):
    shenzhen(tmp_path)
    found = shenzhen_datalist(tmp_path, split="reference")
    order = np.random.RandomState(42).permutation(20)
    assert [one["image"][-10:-6] for one in found["training"]] == [f"{n:04d}" for n in order[:16]]
    assert [one["image"][-10:-6] for one in found["test"]] == [f"{n:04d}" for n in order[16:]]
    study_set = open_study_set(f"shenzhen={tmp_path}", tmp_path, reference=True)
    assert study_set.split == "reference (by image)" and (study_set.sections == "test").sum() == 4
    with pytest.raises(ValueError, match="^split: must be patient or reference"):
        shenzhen_datalist(tmp_path, split="other")


def test_readings_are_read_without_capitals_and_blanks_and_names_must_agree(tmp_path):
    shenzhen(tmp_path)
    assert all(one["class"] == int(name[-5]) for name, one in by_name(shenzhen_datalist(tmp_path)).items())
    (tmp_path / "shenzhen_metadata.csv").unlink()
    assert len(by_name(shenzhen_datalist(tmp_path))) == 20  # by their names
    table(tmp_path / "shenzhencxr_metadata.csv", "a,b,c,d", "CHNCXR_0000_0.png,M,1,PTB")
    with pytest.raises(DatalistError, match=r"CHNCXR_0000_0\.png: its class must be told .* found 1 and 0"):
        shenzhen_datalist(tmp_path)
    files = [f"MCUCXR_{n:04d}_{n % 2}.png" for n in range(10)]
    written(tmp_path / "MontgomerySet" / "CXR_png", *files)
    assert len(by_name(montgomery_datalist(tmp_path))) == 10


def test_chexpert_and_what_is_uncertain(tmp_path, caplog):
    caplog.set_level("INFO")
    chexpert(tmp_path)
    counts = {
        uncertain: [one["class"] for one in by_path(chexpert_datalist(tmp_path, uncertain=uncertain)).values()]
        for uncertain in ("zeros", "ones", "ignore")
    }
    assert {name: (len(labels), sum(labels)) for name, labels in counts.items()} == {
        "zeros": (20, 6),
        "ones": (20, 10),
        "ignore": (16, 6),
    }
    found = chexpert_datalist(tmp_path)
    owners = [{one["patient"] for one in found[section]} for section in SECTIONS]
    assert sum(map(len, owners)) == 10 and {one["view"] for one in found["training"]} == {"Frontal", "Lateral"}
    assert len(chexpert_datalist(tmp_path, split="reference")["training"]) == 12  # 0.6
    assert caplog.text.count("chexpert: 4 of 20 images left out: Pleural Effusion is marked -1") == 1
    assert caplog.text.count("left out") == 1  # nothing is said of what leaves none out
    with pytest.raises(ValueError, match="^finding, uncertain"):
        chexpert_datalist(tmp_path, finding="Fracture")


def by_path(found):
    return {one["image"]: one for section in SECTIONS for one in found.get(section, ())}


def test_chestxray14_keeps_single_findings_of_the_seven(tmp_path, caplog):
    caplog.set_level("INFO")
    names = ["Mass", "Mass|Nodule", "Pneumonia", "No Finding", "Nodule", "Pneumothorax"] * 4
    files = [f"{n:08d}_000.png" for n in range(len(names))]
    written(tmp_path / "images", *files)
    rows = [f"{file},{label}" for file, label in zip(files, names, strict=True)]
    table(tmp_path / "Data_Entry_2017.csv", "Image Index,Finding Labels", *rows)
    found = by_name(chestxray14_single_datalist(tmp_path))
    assert len(found) == 12 and {one["class"] for one in found.values()} == {4, 5, 6}
    assert caplog.text.count("chestxray14_single: 12 of 24 images left out: no finding, several, or none of") == 1
    reference = chestxray14_single_datalist(tmp_path, split="reference")
    order = np.random.RandomState(42).permutation(24)  # of all rows, then those are dropped
    kept = [n for n in order[:19] if names[n] in ("Mass", "Nodule", "Pneumothorax")]
    assert [one["patient"] for one in reference["training"]] == [f"{n:08d}" for n in kept]


def test_eyepacs_has_both_eyes_of_a_patient_on_one_side(tmp_path):
    for part, patients in (("train", range(8)), ("test", range(8, 12))):
        names = [f"{n}_{side}" for n in patients for side in ("left", "right")]
        written(tmp_path / part, *(f"{name}.jpeg" for name in names))
        table(tmp_path / f"{part}Labels.csv", "image,level", *(f"{name},{i % 5}" for i, name in enumerate(names)))
    found = eyepacs_datalist(tmp_path)
    owners = [{one["patient"] for one in found[section]} for section in SECTIONS]
    assert sum(map(len, owners)) == 12 and owners[2] == {"8", "9", "10", "11"}
    assert by_name(found)["3_right.jpeg"]["view"] == "right" and by_name(found)["0_left.jpeg"]["class"] == 0


@pytest.mark.parametrize(
    "name, file, heading, short",
    [
        ("eyepacs", "trainLabels.csv", "image,level", "b"),
        ("chexpert", "train.csv", "Path,Frontal/Lateral,Pleural Effusion", "b"),
        ("chestxray14_single", "Data_Entry_2017.csv", "Image Index,Finding Labels", "b.png"),
        ("stoic", "metadata/reference.csv", "PatientID,probCOVID", "b"),
    ],
)
def test_a_row_that_ends_too_early_is_named(name, file, heading, short, tmp_path):
    table(tmp_path / file, heading, short)
    column = heading.split(",")[1]
    expected = rf"{file}, row 2: must have a cell for each of {heading.replace(',', ', ')}; found none for {column}"
    with pytest.raises(DatalistError, match=expected):
        DATASETS[name](tmp_path)
    (tmp_path / file).write_bytes(heading.encode() + b"\n\xe9\xff,1\n")
    with pytest.raises(DatalistError, match=rf"{file}: cannot be read as a table"):
        DATASETS[name](tmp_path)


def test_a_row_with_more_cells_than_the_heading_is_named(tmp_path):
    for text, said in (
        ("image,level\na,0\nb,1,5\n", "row 3: must have no more cells than the heading, 2; found 3: b,1,5. Write"),
        ("image,level,level\na,0,1\n", "once each; found 'level' twice"),
        ("image;level\na;0\n", "found the first line 'image;level'. Save it as CSV UTF-8"),
    ):
        (tmp_path / "trainLabels.csv").write_text(text)
        with pytest.raises(DatalistError, match=said):
            DATASETS["eyepacs"](tmp_path)


@pytest.mark.parametrize(
    "name, file, heading, short, said",
    [
        ("bach", "Photos/microscopy_ground_truth.csv", (), 1, "file, class; found none for class"),
        ("shenzhen", "shenzhen_metadata.csv", ("a,b,c,d",), 2, "file, sex, age, reading; found none for age, reading"),
        ("montgomery", "montgomery_metadata.csv", ("a,b,c,d",), 3, "file, sex, age, reading; found none for reading"),
    ],
)
def test_tables_whose_columns_have_no_names_of_their_own(name, file, heading, short, said, tmp_path):
    """Columns are told by their place; rows are counted from 1, with the heading where there is one."""
    path = tmp_path / "ICIAR2018_BACH_Challenge" / file if name == "bach" else tmp_path / file
    table(path, *heading, ",".join(["b.png", "M", "1"][:short]))
    with pytest.raises(DatalistError, match=rf"{file}, row {len(heading) + 1}: must have a cell for each of {said}"):
        DATASETS[name](tmp_path)
    path.write_bytes("\n".join([*heading, "M\xfcller.png,M,1,é"]).encode("latin-1"))
    with pytest.raises(DatalistError, match=rf"{file}: cannot be read as a table"):
        DATASETS[name](tmp_path)


def test_ichallenge(tmp_path):
    written(
        tmp_path / "Training400", *(f"AMD/A{n:04d}.jpg" for n in range(6)), *(f"Non-AMD/N{n:04d}.jpg" for n in range(6))
    )
    assert by_name(ichallenge_amd_datalist(tmp_path))["A0001.jpg"]["class"] == 1
    place = tmp_path / "PALM-Training400" / "PALM-Training400"
    written(place, *(f"{kind}{n:04d}.jpg" for kind in "NHP" for n in range(5)))
    classes = {name[0]: one["class"] for name, one in by_name(ichallenge_pm_datalist(tmp_path)).items()}
    assert classes == {"N": 0, "H": 0, "P": 1}
    classes = {name[0]: one["class"] for name, one in by_name(ichallenge_pm_datalist(tmp_path, high_myopia=1)).items()}
    assert classes == {"N": 0, "H": 1, "P": 1}
    written(place, "X0001.jpg")
    with pytest.raises(DatalistError, match="must begin with N, H or P"):
        ichallenge_pm_datalist(tmp_path)


def test_stoic(tmp_path):
    written(tmp_path / "data" / "mha", *(f"{n}.mha" for n in range(10)))
    table(
        tmp_path / "metadata" / "reference.csv",
        "PatientID,probCOVID,probSevere",
        *(f"{n},{n % 2},0" for n in range(10)),
    )
    assert by_name(stoic_datalist(tmp_path))["3.mha"]["class"] == 1
    (tmp_path / "data" / "mha" / "4.mha").unlink()
    with pytest.raises(DatalistError, match=r"found 1 of 10 absent, the first 4\.mha"):
        stoic_datalist(tmp_path)


def test_a_set_without_the_studys_split_says_so(tmp_path):
    with pytest.raises(DatalistError, match="^eyepacs: must have the study's own split; found none"):
        open_study_set(f"eyepacs={tmp_path}", tmp_path, reference=True)
    assert "bach" in DATASETS
