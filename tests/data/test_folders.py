"""Datalists made from folders, of files and of DICOM series."""

import hashlib
import json
import os
import uuid
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from helpers.lists import records_of, touch
from hypothesis import HealthCheck, given, settings

from medgenesis.data import join_datalists, load_datalist, make_datalist, write_datalist
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.io import LoadVolumed


def test_every_kind_of_file_is_found_once(tmp_path, write_series):
    names = ["a.nii", "b.nii.gz", "c.mhd", "c.raw", "deep/d.nrrd", "e.PNG", ".hidden.nii", "notes.txt", ".git/x.nii"]
    images = touch(tmp_path / "images", *names)
    np.save(images / "f.npy", np.zeros((2, 3, 4)))
    write_series("images/scans/s1", np.zeros((3, 2, 2)), [(0, 0, i) for i in range(3)])
    datalist = make_datalist(images, splits=(1, 0, 0))
    found = {record["image"].removeprefix(f"{images}/"): record["patient"] for record in datalist["training"]}
    hashed = found.pop("scans/s1")
    assert found == {
        "a.nii": "a", "b.nii.gz": "b", "c.mhd": "c", "deep/d.nrrd": "deep", "e.PNG": "e", "f.npy": "f"
    }  # fmt: skip
    assert len(hashed) == 12 and "secret-17" not in json.dumps(datalist) and "Doe" not in json.dumps(datalist)


def test_one_series_folder_is_one_scan(write_series):
    folder = write_series("s", np.zeros((3, 2, 2)), [(0, 0, i) for i in range(3)])
    (record,) = make_datalist(folder, splits=(1, 0, 0))["training"]
    assert record["image"] == str(folder)


def test_series_of_one_patient_stay_together(write_series, tmp_path):
    for i in range(6):
        identity = f"id{i // 2}"
        write_series(f"all/{i}", np.zeros((1, 2, 2)), [(0, 0, 0)], PatientID=identity)
    datalist = make_datalist(tmp_path / "all", splits=(0.4, 0.3, 0.3))
    sizes = {
        len([r for r in records_of(datalist) if r["patient"] == p])
        for p in {r["patient"] for r in records_of(datalist)}
    }
    assert sizes == {2} and all(len(datalist[section]) == 2 for section in ("training", "validation", "test"))


def write_ids(write_series, *identities):
    for i, identity in enumerate(identities):
        write_series(f"all/scan{i}", np.zeros((1, 2, 2)), [(0, 0, 0)], PatientID=identity)


def test_visits_in_patient_ids_are_no_patients_as_in_names(write_series, tmp_path, caplog):
    ids = [f"TRIAL-{k:03d}_V{visit}" for k in range(6) for visit in (1, 2)]
    write_ids(write_series, *ids)
    datalist = make_datalist(tmp_path / "all", splits=(0.4, 0.3, 0.3))
    of_visit = {record["image"]: record["patient"] for record in records_of(datalist)}
    by_place = [of_visit[str(tmp_path / f"all/scan{i}")] for i in range(12)]
    assert by_place == [hashlib.sha256(name[:9].encode()).hexdigest()[:12] for name in ids]
    assert datalist["patient_keys"] == ["hash of PatientID without visit"], "lists of before hold the whole ID"
    assert not caplog.records


def test_patient_ids_that_are_hard_to_tell_apart_are_counted_and_not_named(write_series, tmp_path, caplog):
    write_ids(write_series, "Q-P001", "q-p001", "Q-P002", "1.2.840.113619.20190531")
    datalist = make_datalist(tmp_path / "all", splits=(1, 0, 0))
    assert len({record["patient"] for record in records_of(datalist)}) == 4
    assert "2 PatientIDs are hard to tell apart, as those of scan0, scan1:" in caplog.text
    assert datalist["patient_keys"] == ["hash of PatientID"]
    assert not any(name.casefold() in (caplog.text + json.dumps(datalist)).casefold() for name in ("Q-P00", "20190531"))
    caplog.clear()
    make_datalist(tmp_path / "all", splits=(1, 0, 0), patient_pattern="scan.")
    assert "PatientIDs" not in caplog.text


def test_classes_that_are_numbers_are_ordered_as_numbers_and_said(tmp_path, caplog):
    caplog.set_level("INFO")
    folder = touch(tmp_path, *(f"{number}/p{number}.nii" for number in (0, 1, 10, 2, 100)))
    datalist = make_datalist(folder, classes=[], splits=(1, 0, 0))
    assert datalist["class_names"] == ["0", "1", "2", "10", "100"]
    by_folder = {Path(record["image"]).parent.name: record["class"] for record in records_of(datalist)}
    assert by_folder == {"0": 0, "1": 1, "2": 2, "10": 3, "100": 4}
    assert "classes: 0 = 0, 1 = 1, 2 = 2, 3 = 10, 4 = 100" in caplog.text


def test_classes_of_a_list_made_before_are_joined_by_their_names(tmp_path):
    """Its classes were ordered by name: "10" was class 2."""
    touch(tmp_path, "old.nii", "10/p1.nii", "2/p2.nii", "0/p0.nii")
    before = {"class_names": ["0", "10", "2"], "training": [{"image": "old.nii", "patient": "old", "class": 1}]}
    (tmp_path / "before.json").write_text(json.dumps(before))
    write_datalist(
        make_datalist(tmp_path, classes=["0", "2", "10"], only="p*", splits=(1, 0, 0)), tmp_path / "new.json"
    )
    joined = join_datalists([(tmp_path / "new.json", 1), (tmp_path / "before.json", 1)])
    named = {Path(one["image"]).name: joined["class_names"][one["class"]] for one in joined["training"]}
    assert named == {"p0.nii": "0", "p1.nii": "10", "p2.nii": "2", "old.nii": "10"}


def test_empty_and_absent_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatalistError, match="empty: must hold .*found no scan in it"):
        make_datalist(tmp_path / "empty")
    with pytest.raises(DatalistError, match="absent: must be a folder; found none"):
        make_datalist(tmp_path / "absent")


def test_real_folders(real_data):
    datalist = make_datalist(
        real_data / "ct_lidc_nodules/images", real_data / "ct_lidc_nodules/masks", splits=(0.6, 0.2, 0.2)
    )
    patients = {section: {r["patient"] for r in datalist[section]} for section in ("training", "validation", "test")}
    assert sum(len(found) for found in patients.values()) == 436 and len(records_of(datalist)) == 799
    assert len(patients["validation"]) == len(patients["test"]) == 87  # round(0.2 * 436)
    datalist = make_datalist(real_data / "dicom_mr_series", splits=(1, 0, 0), modality="MR")
    assert len(datalist["training"]) == 3 and len({record["patient"] for record in datalist["training"]}) == 3


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "CT"),
        ({"intensity": "ct"}, "CT"),
        ({"intensity": "xray"}, "X-ray"),
        ({"intensity": "mri_percentile"}, "MR"),
        ({"intensity": "xray", "modality": "CR"}, "CR"),
    ],
)
def test_the_list_s_modality_is_that_of_its_intensity(tmp_path, given, wanted):
    folder = touch(tmp_path / "images", *(f"p{i}.nii" for i in range(10)))
    assert make_datalist(folder, **given)["modality"] == {"0": wanted}


def test_only_takes_the_scans_among_other_files(tmp_path):
    folder = touch(tmp_path / "mixed", "example_ct.nii.gz", "example_seg.nii.gz", "deep/ct.nii.gz", "deep/lung.nrrd")
    records = records_of(make_datalist(folder, only="*ct.nii.gz", splits=(1, 0, 0)))
    assert {record["image"].rsplit("/")[-1] for record in records} == {"example_ct.nii.gz", "ct.nii.gz"}
    with pytest.raises(DatalistError, match="no scan named 'x\\*'"):
        make_datalist(folder, only="x*")


def _hundred(tmp_path, labelled):
    images = touch(tmp_path / "images", *(f"p{i:03}_t{j}.nii" for i in range(20) for j in range(2)))
    labels = touch(tmp_path / "labels", *(f"p{i:03}_t0.nii" for i in range(labelled)))
    return images, labels


def test_scans_without_label_are_left_for_pretraining(tmp_path, caplog):
    caplog.set_level("INFO")
    images, labels = _hundred(tmp_path, 5)
    datalist = make_datalist(images, labels)
    assert [len(datalist[section]) for section in ("training", "validation", "test")] == [3, 1, 1]
    assert all("label" in record for record in records_of(datalist))
    assert len(datalist["unlabeled"]) == 40 - 5 - 2  # those of held-out patients are seen nowhere
    assert not any("label" in record for record in datalist["unlabeled"])
    held_out = {record["patient"] for section in ("validation", "test") for record in datalist[section]}
    assert held_out.isdisjoint(record["patient"] for record in datalist["unlabeled"])
    assert "2 scans without label left out" in caplog.text and "33 unlabeled" in caplog.text


def test_few_patients_keep_their_labels(tmp_path):
    images, labels = _hundred(tmp_path, 20)
    whole, few = make_datalist(images, labels), make_datalist(images, labels, few=3)
    assert few["test"] == whole["test"] and few["validation"] == whole["validation"]
    assert len({record["patient"] for record in few["training"]}) == 3
    assert all(record in whole["training"] for record in few["training"])
    seen = {record["image"] for section in ("training", "unlabeled") for record in whole[section]}
    assert {record["image"] for section in ("training", "unlabeled") for record in few[section]} == seen
    with pytest.raises(DatalistError, match="few: must be of labelled scans"):
        make_datalist(images, few=3)


def test_folders_name_classes(tmp_path):
    names = [f"{kind}/p{i}_{j}.png" for kind, n in (("NORMAL", 10), ("ILL", 20)) for i in range(n) for j in "ab"]
    images = touch(tmp_path / "x", *(name.replace("/p", f"/{name[0]}p") for name in names))
    datalist = make_datalist(images, classes=["NORMAL", "ILL"], patient_pattern=r"[NI]p\d+", splits=(0.8, 0.1, 0.1))
    assert datalist["class_names"] == ["NORMAL", "ILL"]
    for section, count in (("training", (8, 16)), ("validation", (1, 2)), ("test", (1, 2))):
        patients = {(record["patient"], record["class"]) for record in datalist[section]}
        assert tuple(sum(own == one for _, own in patients) for one in (0, 1)) == count
    assert make_datalist(images, classes=[])["class_names"] == ["ILL", "NORMAL"]
    for classes, what in ((["NORMAL", "WELL"], "none called WELL"), (["ILL", "x"], "none called x")):
        with pytest.raises(DatalistError, match=what):
            make_datalist(images, classes=classes)
    touch(images, "stray.png")
    with pytest.raises(DatalistError, match="found stray in none"):
        make_datalist(images, classes=["NORMAL", "ILL"])


def test_one_patient_in_folders_of_two_classes_stays_together(tmp_path):
    images = touch(tmp_path / "x", *(f"{kind}/p{i}_visit{j}.png" for i in range(12) for j, kind in enumerate("ab")))
    datalist = make_datalist(images, classes=["a", "b"], splits=(0.5, 0.25, 0.25))  # check_disjoint has passed
    assert len({record["patient"] for record in records_of(datalist)}) == 12


def test_files_of_one_stem_are_all_taken(tmp_path, caplog):
    images = touch(tmp_path / "x", "xray.png", "xray.jpg", "xray.tif")
    assert len(make_datalist(images, splits=(1, 0, 0))["training"]) == 3
    assert "xray: 3 scans of this name" in caplog.text


@pytest.mark.parametrize(
    "names, patients",
    [
        ([f"BRATS_{i:03}_000{c}" for i in range(6) for c in range(4)], {f"BRATS_{i:03}" for i in range(6)}),
        ([f"patient{i:03}_frame{j:02}" for i in range(6) for j in (1, 12)], {f"patient{i:03}" for i in range(6)}),
        (
            [f"{way}sub-{i:02}/anat/sub-{i:02}_T1w" for i in range(6) for way in ("", "derivatives/prep/")],
            {f"sub-{i:02}" for i in range(6)},
        ),
    ],
)
@pytest.mark.parametrize("channels", ["join", "separate"])
def test_one_patient_is_in_one_section(tmp_path, names, patients, channels):
    images = touch(tmp_path / "x", *(f"{name}.nii.gz" for name in names))
    datalist = make_datalist(images, channels=channels, splits=(0.5, 0.25, 0.25))
    assert {record["patient"] for record in records_of(datalist)} == patients
    files = [record["image"] for record in records_of(datalist)]
    assert len(names) == sum(len(file) if isinstance(file, list) else 1 for file in files)


def test_doubts_are_said(tmp_path, caplog):
    images = touch(tmp_path / "x", *(f"patient{i}_{which}.nii" for i in range(5) for which in ("first", "second")))
    make_datalist(images)
    assert "10 patients' names are hard to tell apart, as patient0_first, patient0_second" in caplog.text


def test_what_is_left_out_is_named(tmp_path, caplog, write_series):
    images = touch(tmp_path / "x", "a.nii", "b.mgz", "notes.txt", "c.mhd", "c.raw", "d_seg.nii")
    (images / "gone.nii").symlink_to("nowhere")
    localizer = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    write_series("x/one", np.zeros((3, 2, 2)), [(0, 0, i) for i in range(3)], PatientID="1")
    write_series("x/one", np.zeros((2, 2, 2)), [(0, 0, i) for i in range(2)], prefix="b", PatientID="2", SeriesNumber=7)
    write_series("x/one", np.zeros((1, 2, 2)), [(0, 0, 9)], prefix="scout", **localizer)
    write_series("x/torn", np.zeros((3, 2, 2)), [(0, 0, i) for i in (0, 1, 5)])
    write_series("x/lost", np.zeros((3, 2, 2)), [(0, 0, i) for i in range(3)])
    (images / "lost" / "2").write_bytes(b"")
    records = make_datalist(images, splits=(1, 0, 0))["training"]
    assert sorted(record["image"].removeprefix(f"{images}/") for record in records) == [
        "a.nii", "c.mhd", "d_seg.nii", "one", "one"
    ]  # fmt: skip
    pair = [record for record in records if "series" in record]
    assert len({record["series"] for record in pair}) == len({record["patient"] for record in pair}) == 2
    shapes = sorted(LoadVolumed("image")({**record})["image"].shape[3] for record in pair)
    assert shapes == [2, 3]
    for said in (
        "(localizer): one/scout0", "not read): b.mgz", "to nothing): gone.nii", "empty file): lost/2", ": lost",
        "evenly spaced", "1 named as label maps are listed as scans, as d_seg", "told apart in different ways",
    ):  # fmt: skip
        assert said in caplog.text, said
    assert "notes.txt" not in caplog.text and "c.raw" not in caplog.text


@pytest.mark.parametrize(
    "modality, tags, said",
    [
        ("CT", {"NumberOfFrames": 3}, "must be single-frame grey DICOM; found multi-frame .*by dcm2niix.* PNG"),
        ("MG", {"NumberOfFrames": 3, "ImagePositionPatient": None}, "must be single-frame grey DICOM.*by dcm2niix"),
        ("US", {"NumberOfFrames": 3, "ImagePositionPatient": None}, "must be single-frame.*ultrasound.*, to PNG"),
        ("US", {"ImagePositionPatient": None}, "slices must have ImagePositionPatient.*A 2D image: save it as PNG"),
    ],
)
def test_what_to_do_with_dicom_that_is_not_read_is_kept(tmp_path, caplog, write_series, modality, tags, said):
    """As the reader says it of the file."""
    folder = write_series("scans", np.zeros((1, 2, 2)), [(0, 0, 0)], Modality=modality, **tags)
    with pytest.raises(DatalistError, match=rf"found no scan in it; 1 left out \({said}.*\): \w+. Give the folder"):
        make_datalist(folder)
    assert caplog.text.count("1 left out") == 1
    with pytest.raises(VolumeError, match=said):
        LoadVolumed("image")({"image": str(folder)})


def test_names_of_any_bytes_and_configs(tmp_path):
    names = [os.fsdecode(b"M\xfcller"), "$__import__('os')", "%x", "@y"]
    images = touch(tmp_path / "x", *(f"{name}/a.nii" for name in names))
    write_datalist(make_datalist(images), tmp_path / "l.json")
    found = [load_datalist(tmp_path / "l.json", section) for section in ("training", "validation", "test")]
    assert {record["patient"] for records in found for record in records} == set(names)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.from_regex(r"[a-d](/[a-d]){0,2}", fullmatch=True), st.integers(1, 3), max_size=4), st.randoms()
)
def test_every_series_of_a_tree_is_a_record(write_series, tmp_path, tree, random):
    root = uuid.uuid4().hex
    (tmp_path / root).mkdir()
    folders = list(tree)
    random.shuffle(folders)
    for folder in folders:
        for series in range(tree[folder]):
            positions = [(0, 0, i) for i in random.sample(range(3), 3)]
            write_series(f"{root}/{folder}", np.zeros((3, 2, 2)), positions, f"{series}-", PatientID=str(series))
            (tmp_path / root / folder / "AAA.txt").write_text("junk")
    if not tree:
        with pytest.raises(DatalistError, match="found no scan"):
            make_datalist(tmp_path / root, splits=(1, 0, 0))
        return
    records = make_datalist(tmp_path / root, splits=(1, 0, 0))["training"]
    counts = Counter(record["image"].removeprefix(f"{tmp_path}/{root}/") for record in records)
    assert counts == tree
    assert all(
        ("series" in record) == (tree[record["image"].removeprefix(f"{tmp_path}/{root}/")] > 1) for record in records
    )


@pytest.mark.parametrize("name", ["b.npy", "b.npz"])
def test_a_damaged_array_is_named(tmp_path, name):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    (tmp_path / name).write_bytes((tmp_path / "a.npy").read_bytes()[:-5])
    with pytest.raises(VolumeError, match=f"{name}: cannot be read, truncated or damaged"):
        make_datalist(tmp_path)
