"""The small data sets below MEDGENESIS_DATA, on miniature trees."""

import pytest

from medgenesis.datasets import DATASETS
from medgenesis.errors import DatalistError

SECTIONS = ("training", "validation", "test")
PATIENTS = 12


def written(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"")


def table(root, name, heading, rows):
    (root / name).write_text("\n".join([heading, *rows]) + "\n")


def cxr_nih(root):
    written(root, *(f"{folder}/{n:08d}_{m:03d}.png" for n in range(6) for m in range(2) for folder in ["Pneumonia"]))
    written(root, *(f"No_findings/{n:08d}_000.png" for n in range(10, 16)))


def cxr_nih_more(root):
    written(root, *(f"images/{n}.png" for n in range(PATIENTS)))
    rows = [f"{n}.png,{n},{'Pneumonia' if n % 2 else 'No_findings'}" for n in range(PATIENTS)]
    table(root, "index.csv", "file,patient,folder_of_source", rows)


def cxr_hannover(root):
    written(root, *(f"images/i{n}.png" for n in range(24)))
    rows = [f"p{n // 2},i{n},m,{'pa' if n % 3 else 'ap'}" for n in range(24)]  # both projections of a patient
    table(root, "data.csv", "patient_id,image_id,sex,projection", rows)


def cxr_cohen_radiologist(root):
    written(root, *(f"{folder}/{n}.png" for n in range(PATIENTS) for folder in ("images", "lungs_v7")))
    rows = [f"{n}.png,{n},{n % 2},{n if n else ''},{n + 1}" for n in range(PATIENTS)]
    table(root, "index.csv", "file,patient,lungs_v7,brixia_senior_Global,brixia_junior_Global", rows)


def ct_lidc_nodules(root):
    names = [f"P{n}_R_{m}.nii.gz" for n in range(PATIENTS) for m in (1, 2)]
    written(root, *(f"{folder}/{name}" for name in names for folder in ("images", "masks")))
    rows = [f"P{n},{m},{5 + n}.5,{n % 2}" for n in range(PATIENTS) for m in (1, 2)]
    table(root, "labels.csv", "patient_id,nodule_id,diameter_mm,Diagnosis_value", rows)


def mr_hippocampus(root):
    written(root, *(f"{folder}/h_{n}.nii.gz" for n in range(PATIENTS) for folder in ("images", "labels")))


def mr_mouse_brain(root):
    mr_hippocampus(root)
    table(root, "index.csv", "file,group", [f"h_{n}.nii.gz,{'rTg4510' if n % 2 else 'FVB_NCrl'}" for n in range(12)])
    table(root, "labels.csv", "label,structure_name", ["0,Background", "1,Left Hippocampus"])


def mr_fetal_brain(root):
    mr_hippocampus(root)
    rows = [f"h_{n}.nii.gz,{'crl' if n < 8 else 'sba'},{21 + n}" for n in range(PATIENTS)]
    table(root, "index.csv", "file,atlas,weeks", rows)


def mr_us_prostate(root):
    written(root, *(f"{view}_images/case{n}.nii.gz" for n in range(PATIENTS) for view in ("mr", "us")))


TREES = (
    *(cxr_nih, cxr_nih_more, cxr_hannover, cxr_cohen_radiologist, ct_lidc_nodules),
    *(mr_hippocampus, mr_mouse_brain, mr_fetal_brain, mr_us_prostate),
)


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.__name__)
def test_sections_have_different_patients_and_the_same_every_time(tree, tmp_path):
    tree(tmp_path)
    found = DATASETS[tree.__name__](tmp_path)
    owners = [{record["patient"] for record in found[section]} for section in SECTIONS]
    assert all(owners) and sum(map(len, owners)) == len(set().union(*owners))
    assert DATASETS[tree.__name__](tmp_path) == found
    for record in (record for section in SECTIONS for record in found[section]):
        assert record["intensity"] and (record.get("class", 0) < len(found.get("class_names", [0])))


def test_what_each_says_of_its_images(tmp_path):
    def all_of(tree):
        (tmp_path / tree.__name__).mkdir()
        tree(tmp_path / tree.__name__)
        found = DATASETS[tree.__name__](tmp_path / tree.__name__)
        return {record["image"].rpartition("/")[2]: record for section in SECTIONS for record in found[section]}

    cohen = all_of(cxr_cohen_radiologist)
    assert "class" not in cohen["0.png"] and cohen["7.png"]["class"] == 0 and cohen["8.png"]["class"] == 1
    assert cohen["3.png"]["scores"] == {"senior": 3, "junior": 4}
    assert "label" in cohen["3.png"] and "label" not in cohen["2.png"]
    nodule = all_of(ct_lidc_nodules)["P3_R_1.nii.gz"]
    assert nodule["numbers"] == {"diameter_mm": 8.5} and nodule["class"] == 1 and "masks" in nodule["label"]
    assert all_of(cxr_hannover)["i4.png"]["class"] == 1
    fetal = DATASETS["mr_fetal_brain"]
    all_of(mr_fetal_brain)
    assert {record["numbers"]["weeks"] for record in fetal(tmp_path / "mr_fetal_brain")["validation"]} == {26, 27, 28}
    assert {record["view"] for record in all_of(mr_us_prostate).values()} <= {"mr", "us"}


def test_what_is_absent_or_odd_is_named(tmp_path):
    with pytest.raises(DatalistError, match=r"index\.csv: must be the data set's table; found no file"):
        DATASETS["cxr_nih_more"](tmp_path)
    cxr_nih_more(tmp_path)
    (tmp_path / "images" / "3.png").unlink()
    with pytest.raises(DatalistError, match=r"found 1 of 12 absent, the first 3\.png"):
        DATASETS["cxr_nih_more"](tmp_path)
    table(tmp_path, "index.csv", "file,patient,folder_of_source", ["1.png,1,No_findings", "2.png,2,Mass"])
    with pytest.raises(DatalistError, match=r"index\.csv, row 3: its class must be one of .*; found 'Mass'"):
        DATASETS["cxr_nih_more"](tmp_path)
    table(tmp_path, "index.csv", "file,patient", ["1.png,1"])
    with pytest.raises(DatalistError, match="found no folder_of_source"):
        DATASETS["cxr_nih_more"](tmp_path)


@pytest.mark.parametrize(
    "tree, file, old, new, column",
    [
        (ct_lidc_nodules, "labels.csv", "5.5", "n/a", "diameter_mm"),
        (ct_lidc_nodules, "labels.csv", "5.5", "nan", "diameter_mm"),
        (mr_fetal_brain, "index.csv", ",21", ",x", "weeks"),
        (cxr_cohen_radiologist, "index.csv", ",1\n", ",few\n", "brixia_junior_Global"),
    ],
)
def test_what_is_no_number_is_named_with_its_row(tree, file, old, new, column, tmp_path):
    tree(tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    found = new.strip(",\n")
    with pytest.raises(DatalistError, match=rf"{file}, row 2: {column} must be a number; found '{found}'"):
        DATASETS[tree.__name__](tmp_path)


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.__name__)
def test_the_real_ones_are_read(tree, real_data):
    if not (real_data / tree.__name__).is_dir():
        pytest.skip("not there")
    found = DATASETS[tree.__name__](real_data / tree.__name__)
    assert all(found[section] for section in SECTIONS)
