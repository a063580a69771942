"""Names of which it is in doubt whose they are; and ordinary ones, of which it is not."""

import random

import pytest

from medgenesis.data import make_datalist
from medgenesis.data.patient_doubts import doubtful, repeated_below, visit_folders
from medgenesis.data.patients import patient_key


def test_names_that_may_be_of_one_patient():
    assert doubtful(["p1", "p1_b", "p2"]) == ["p1", "p1_b"]
    pairs = [f"patient{i}_{which}" for i in range(3) for which in ("first", "second")]
    assert doubtful(pairs) == pairs
    few = [f"S{i:02}" for i in range(20)]
    for first, second in ("m00", "m12"), ("a", "b"), ("scan1", "scan2"), ("2019", "2020"):
        assert doubtful([*few, f"S30_{first}", f"S30_{second}"]) == [f"S30_{first}", f"S30_{second}"]
    assert not doubtful([*few, "S30_m12", "T1_m12", "T1_m24"])  # no other key is built as T1
    assert not doubtful(f"BraTS20_Training_{i:03}" for i in range(30))
    assert not doubtful(f"LIDC-IDRI-{i:04}" for i in range(30))


def test_keys_that_differ_in_their_spelling_alone_are_doubtful():
    assert doubtful(["PAT0", "pat0", "pat1"]) == ["PAT0", "pat0"]
    assert doubtful(["p1", "p01", "p2"]) == ["p01", "p1"]
    letters = [f"pt{number}{letter}" for number in range(3) for letter in "ab"]
    assert doubtful(letters) == letters
    assert not doubtful(f"pt{number}a" for number in range(9))


@pytest.mark.parametrize(
    "ends",
    [
        ["01_flair_pp", "02_flair_pp", "03_flair_pp"],
        ["_left_kidney", "_right_kidney"],
        ["_1.0mm_B30", "_3.0mm_B50"],
        ["_scan1", "_scan2"],
        ["_11", "_21"],
        ["", "_aug", "_flip"],
        [f"_{visit:02}_{part}" for visit in range(4) for part in ("flair_pp", "t2_pp", "pd_pp", "x_pp")],
    ],
)
@pytest.mark.parametrize(
    "start", ["training{:02}", "UPENN-GBM-{:05}", "BraTS20_Training_{:03}", "{:03}", "ab3f{:06}cd"]
)
def test_ends_behind_the_first_number_or_hash(start, ends):
    names = {who: [start.format(who) + ("_" if end[:1].isdigit() else "") + end for end in ends] for who in range(20)}
    assert set(doubtful(sum(names.values(), []))) == set(sum(names.values(), []))
    few = [names[who][0] for who in range(15)]
    assert set(doubtful(few + names[15] + names[16])) == set(names[15] + names[16])


def test_visits_before_the_patient():
    keys = [f"{visit}_P{who:03}" for visit in ("m00", "m06") for who in range(9)]
    assert doubtful(keys) == sorted(keys)
    assert not doubtful(f"M{who:02}_scan" for who in range(9))


draw = random.Random(0)
ORDINARY = {
    "Decathlon": [f"BRATS_{i:03}" for i in range(30)],
    "Decathlon, no zeros": [f"imagesTr/liver_{i}" for i in range(130)],
    "nnU-Net": [f"imagesTr/amos_{i:04}" for i in range(60)],
    "KiTS": [f"case_{i:05}/imaging" for i in range(30)],
    "TotalSegmentator": [f"s{i:04}/{name}" for i in range(9) for name in ("ct", "segmentations/rib_left_10")],
    "BraTS": [f"BraTS20_Training_{i:03}/BraTS20_Training_{i:03}_{c}" for i in range(9) for c in ("t1", "flair")],
    "BraTS, flat": [f"BraTS20_Training_{i:03}_{c}" for i in range(9) for c in ("t1", "flair")],
    "BIDS": [f"sub-{i:02}/ses-{s}/anat/sub-{i:02}_ses-{s}_T1w" for i in range(9) for s in (1, 2)],
    "BIDS, no session": [f"sub-{i:03}/anat/sub-{i:03}_T1w" for i in range(9)],
    "LIDC": [f"LIDC-IDRI-{i:04}/01-01-2000-{draw.randrange(10000, 99999)}/3000566" for i in range(40)],
    "TCGA": [f"TCGA-{site}-{draw.randrange(1000, 9999)}" for site in ("02", "CH", "4G") for _ in range(6)],
    "QIN": [f"QIN-HEADNECK-01-{i:04}" for i in range(9)] + [f"QIN-LUNG-01-{i:04}" for i in range(5)],
    "CPTAC": [f"C3{site}-{draw.randrange(10000):05}" for site in "LN" for _ in range(6)],
    "NSCLC": [f"LUNG1-{i:03}" for i in range(9)]
    + [f"R01-{i:03}" for i in range(6)]
    + [f"AMC-{i:03}" for i in range(6)],
    "TCIA, dates": [f"P{i:02}/0{i % 3 + 1}-01-2000-NA-CT/ct" for i in range(9)],
    "OASIS": [f"OAS1_{i:04}_MR1" for i in range(6)] + [f"OAS2_{i:04}_MR{j}" for i in range(4) for j in (1, 2)],
    "ADNI": [f"{site}_S_{i:04}/MPRAGE/x" for site in ("002", "011") for i in range(295, 300)],
    "IXI": [f"IXI{i:03}-{site}-{i + 500:04}-{c}" for site in ("Guys", "HH") for i in range(9) for c in ("T1", "T2")][
        ::2
    ],
    "ACDC": [f"patient{i:03}/patient{i:03}_frame{f:02}" for i in range(9) for f in (1, 12)],
    "M&Ms": [f"{a}{i}S{i}V{j}" for i in range(5) for j in range(5) for a in "AB"],
    "hashes": [f"psma_{draw.getrandbits(64):016x}_2018-04-16" for _ in range(30)],
    "slices": [f"P{i:03}/IM{s:04}" for i in range(4) for s in range(30)],
    "volunteers": [f"V{i:02}/{name}" for i in range(9) for name in ("t1", "anat/DESS", "run01")],
    "visits": [f"V{v:02}/{9000000 + i}/DESS" for v in (0, 1, 3) for i in range(9)],
    "months": [f"m{v:02}/P{i:03}" for v in (0, 6, 12) for i in range(9)],
}


@pytest.mark.parametrize("names", [pytest.param(names, id=name) for name, names in ORDINARY.items()])
def test_of_ordinary_names_there_is_no_doubt(names):
    keys = {name: patient_key(name) for name in names}
    assert not doubtful(one.key for one in keys.values())
    assert not repeated_below({name: one.key for name, one in keys.items() if one.kind == "folder name"})


@pytest.mark.parametrize("kind", ["visits", "months"])
def test_visits_are_said(kind):
    assert visit_folders(ORDINARY[kind]) == sorted({name.split("/")[0] for name in ORDINARY[kind]})
    assert not any(visit_folders(names) for other, names in ORDINARY.items() if other not in ("visits", "months"))


@pytest.mark.parametrize(
    "path", ["siteA/P{:03}_t1", "siteB/P{:03}/t1", "m06/{:03}/t1", "scan1/9{:06}", "arm2/P{:02}/x"]
)
def test_the_same_patients_below_several_folders(path):
    first, rest = path.split("/", 1)
    folders = [first[:-1] + end for end in "789"]
    names = [f"{folder}/{rest.format(i)}" for folder in folders for i in range(9)]
    assert repeated_below({name: name.split("/")[0] for name in names}) == folders


def test_volunteers_that_may_be_taken_for_visits():
    """Whoever numbers volunteers V01, V02 … and acquisitions DESS_001, DESS_002 is told."""
    names = [f"V{who:02}/DESS_{scan:03}" for who in range(9) for scan in (1, 2)]
    assert visit_folders(names) == [f"V{who:02}" for who in range(9)]


@pytest.mark.parametrize(
    "path, said",
    [
        ("site{visit}/P{who:03}.nii", "3 folders are taken for patients, as site0, site1, site2"),
        ("V{who:02}/DESS_{visit:03}.nii", "9 folders are taken for visits, as V00, V01, V02"),
        ("{who:03}_scan{visit}.nii", "27 patients' names are hard to tell apart, as 000_scan0, 000_scan1"),
        ("V{visit:02}/9{who:06}.nii", "3 folders are taken for visits, as V00, V01, V02"),
        ("M{who:02}/lesion{visit:02}.nii", None),
    ],
)
def test_doubts_of_a_folder_are_said(tmp_path, caplog, path, said):
    for who in range(9):
        for visit in range(3):
            file = tmp_path / path.format(who=who, visit=visit)
            file.parent.mkdir(exist_ok=True)
            file.touch()
    make_datalist(tmp_path, splits=(1, 0, 0))
    assert said in caplog.text if said else "WARNING" not in caplog.text


def test_scans_of_one_volunteer_are_in_one_section(tmp_path):
    for who in range(5):
        for scan in range(6):
            file = tmp_path / f"M{who:02}/lesion{scan:02}.nii"
            file.parent.mkdir(exist_ok=True)
            file.touch()
    made = make_datalist(tmp_path, splits=(0.6, 0.2, 0.2))
    sections = [made[name] for name in ("training", "validation", "test")]
    folders = [{record["image"].split("/")[-2] for record in section} for section in sections]
    assert sum(map(len, folders)) == len(set().union(*folders)) == 5


def test_visits_that_few_patients_have_in_common_are_doubted():
    """12 patients at each of two visits, 6 of them at both; their names are too short to be taken for certain."""
    paths = [f"m{month:02d}/P{i:02d}/t1" for month, first in ((0, 0), (6, 6)) for i in range(first, first + 12)]
    keys = {path: patient_key(path).key for path in paths}
    assert set(keys.values()) == {"m00", "m06"} and repeated_below(keys) == ["m00", "m06"]
    assert repeated_below({path.replace("m06/P", "m06/Q"): key for path, key in keys.items()}) == []
