"""The patient's key in a file's path."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from medgenesis.data.patients import alike, form, patient_key, patient_of
from medgenesis.errors import DatalistError


@pytest.mark.parametrize(
    "relative, pattern, expected",
    [
        ("LIDC-IDRI-0001_R_1", None, "LIDC-IDRI-0001"),
        ("hippocampus_003", None, "hippocampus_003"),
        ("sub-07_ses-2_T1w", None, "sub-07"),
        ("case7/scans/t1", None, "case7"),
        ("00001280_004", None, "00001280"),
        ("images_001/images/00001280_004", None, "00001280"),
        ("case7/00001280_0040", None, "case7"),
        ("patient000_frame01", None, "patient000"),
        ("patient000_4d", None, "patient000"),
        ("a_t0", None, "a"),
        ("p1_ses-2_flair", None, "p1"),
        ("derivatives/prep/sub-01/ses-1/anat/sub-01_ses-1_T1w", None, "sub-01"),
        ("imagesTr/liver_1", None, "liver_1"),
        ("ses-1/p7/t1", None, "p7"),
        ("p7_baseline/t1", None, "p7"),
        ("S03_v1", None, "S03"),
        ("S03_v2_t1", None, "S03"),
        ("S03_20190531", None, "S03"),
        ("S03-2019-05-31/ct", None, "S03"),
        ("scan_v1", None, "scan_v1"),
        ("1.2.840.113619.2.55.3.20190531/im", None, "1.2.840.113619.2.55.3.20190531"),
        ("patient_20190531", None, "patient_20190531"),
        ("liver_20191331", None, "liver_20191331"),
        ("S03_20191331", None, "S03_20191331"),
        ("S03_2019-0531", None, "S03_2019-0531"),
        ("000_03-23-2003", None, "000"),
        ("000_23.03.2003", None, "000"),
        ("000_13-23-2003", None, "000_13-23-2003"),
        ("scan_03-23-2003", None, "scan_03-23-2003"),
        ("fdg_0011f3deaf_03-23-2003-NA-PET-CT", None, "fdg_0011f3deaf"),
        ("psma_95b833d65be26d9f_2018-04-16", None, "psma_95b833d65be26d9f"),
        ("ADNI_002_S_0295_MR_MPRAGE_br_raw_20060418193713091_1_S13408_I13722", None, "ADNI_002_S_0295"),
        ("V00/9000000/DESS", None, "9000000"),
        ("00m/0.C.2/9000099/20050915/x", None, "9000099"),
        ("m12/P007_t1", None, "P007"),
        ("12months/003/t1", None, "003"),
        ("timepoint_2/P007/t1", None, "P007"),
        ("V01/t1", None, "V01"),
        ("V01/anat/DESS", None, "V01"),
        ("M07/img001", None, "M07"),
        ("M01/lesion01", None, "M01"),
        ("M01/lesion_001/t1", None, "M01"),
        ("M01/tumour1001", None, "M01"),
        ("V01/thorax01", None, "V01"),
        ("V01/chest12", None, "V01"),
        ("V01/DESS_01", None, "V01"),
        ("V01/head001", None, "V01"),
        ("M003/AP_20190531", None, "M003"),
        ("M003/DESS_20190531", None, "M003"),
        ("V01/0012", None, "V01"),
        ("V01/P012_20190531", None, "P012"),
        ("V01/BRATS001", None, "BRATS001"),
        ("M07/M07_t1", None, "M07"),
        ("BraTS-GLI-00005-001-t1n", None, "BraTS-GLI-00005"),
        ("TCGA-02-0003_2001.01.01_t1", None, "TCGA-02-0003"),
        ("OAS30001_MR_d0129", None, "OAS30001"),
        ("$__import__('os')/@x", None, "$__import__('os')"),
        ("site2/x_0042_b", r"_(\d+)_", "0042"),
        ("site2/x_0042_b", r"x_\d+", "x_0042"),
    ],
)
def test_keys(relative, pattern, expected):
    assert patient_of(relative, pattern) == expected


def test_bad_patterns():
    with pytest.raises(DatalistError, match="in 'abc'"):
        patient_of("abc", r"\d+")
    with pytest.raises(DatalistError, match="must be a regular expression"):
        patient_of("abc", "(")


PATIENTS = st.from_regex(r"(liver|BRATS|patient|p|LIDC-IDRI-)_?[0-9]{1,4}", fullmatch=True)
ADDED = st.sampled_from(["", "_frame01", "_t0", "_T1w", "-flair", "_ses-2", "_visit_3", "_baseline", "_pre", "_left"])
FOLDERS = st.sampled_from(["", "imagesTr/", "images/", "train/", "derivatives/", "ses-1/", "t1/", "nifti/"])


@given(PATIENTS, st.lists(st.tuples(FOLDERS, ADDED, ADDED), min_size=2, max_size=5))
def test_a_patient_has_one_key_however_the_files_are_called(patient, ways):
    keys = {patient_of(f"{folder}{patient}{first}{second}") for folder, first, second in ways}
    assert keys == {patient}
    assert {patient_of(f"{folder}{patient}{first}/x{second}") for folder, first, second in ways} == {patient}


def test_the_kind_of_key_is_said():
    uid = "1.3.6.1.4.1.14519.5.2.1"
    names = {"sub-01/x": "sub- of BIDS", "p1": "file name", "p1/x": "folder name", uid: "UID", f"{uid}/x": "UID"}
    assert {name: patient_key(name).kind for name in names} == names
    assert patient_key("p1", r"p\d").kind == r"pattern p\d"


def test_names_across_lists():
    assert alike("Liver_001") == alike("liver_1") != alike("liver_10")
    assert form("Liver_001") == form("liver_12") != form("case_12") and form("anna") == form("otto")
    assert form("psma_95b833d65be26d9f") == form("psma_00aa11bb22cc33dd") == "psma_#"
    assert form("TCGA-02-0003") == form("TCGA-CH-5753") and form("A0S9V9") == form("C3T1W8") == "#"


def test_pseudonyms_are_of_one_form_and_numbered_names_are_not():
    assert {form(key) for key in ("AB12CD", "XK9P2", "Q7RR1", "M3N4P", "ZT5OP")} == {form("7RR1Q")}
    numbered = ["liver_1", "volume-3", "case_00001", "P0012", "BRATS001", "LUNG1A", "P112B", "S012R3", "12ABC", "00123"]
    assert len({form(key) for key in [*numbered, "ZT5OP", "anna"]}) == len(numbered) + 2
    assert form("P0012") == form("P7") and form("BRATS001") == form("BRATS12")


def test_an_accent_is_one_letter_or_two():
    composed, apart = "Jos\u00e9", "Jose\u0301"
    assert patient_key(f"{apart}/scan") == patient_key(f"{composed}/scan")
    assert alike(apart) == alike(composed)
