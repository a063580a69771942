"""Data sets by their names."""

import json
import logging

import numpy as np
import pytest
from helpers.study_sets import write_images
from PIL import Image

from medgenesis.errors import DatalistError
from medgenesis.transfer.controls import control
from medgenesis.transfer.features import ImageReading
from medgenesis.transfer.named_data import options_of
from medgenesis.transfer.study_set import open_study_set


def test_a_list_without_test_section_is_split_by_patient(tmp_path):
    study_set = open_study_set(str(write_images(tmp_path, per_class=20)), tmp_path)
    assert study_set.labels.tolist().count(1) == 20 and study_set.split.startswith("patient")
    by_section = {
        name: set(study_set.patients[study_set.sections == name]) for name in ("training", "validation", "test")
    }
    assert all(by_section.values()) and sum(map(len, by_section.values())) == 40
    told = study_set.told()
    assert told["images by section and class"]["test"] == [4, 4] and "p000" not in json.dumps(told)


def test_the_sections_of_a_list_are_kept_and_records_without_class_are_counted(tmp_path, caplog):
    content = json.loads(write_images(tmp_path).read_text())
    records = content.pop("training")
    del records[0]["class"]
    content |= {"training": records[:12], "test": records[12:]}
    (tmp_path / "cut.json").write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        study_set = open_study_set(str(tmp_path / "cut.json"), tmp_path)
    assert (study_set.sections == "test").sum() == 12 and len(study_set.records) == 23 and study_set.split == "list"
    assert "1 of 24 images have no class" in caplog.text


@pytest.mark.parametrize("patients", [1, 2])
def test_a_class_with_one_test_patient_is_told_once_by_its_name(tmp_path, caplog, patients):
    content = json.loads(write_images(tmp_path).read_text())
    content |= {"name": "few", "class_names": ["sound", "ill"]}
    every = content.pop("training")
    sound, ill = ([one for one in every if one["class"] == label] for label in (0, 1))
    chosen = ill[:2]
    chosen[1]["patient"] = chosen[patients - 1].get("patient")
    content |= {"training": sound[6:] + ill[2:], "test": sound[:6] + chosen}
    (tmp_path / "few.json").write_text(json.dumps(content))
    open_study_set(str(tmp_path / "few.json"), tmp_path)
    told = [message for message in caplog.messages if "one test patient" in message]
    assert len(told) == (patients == 1) and all("few: one test patient of class 'ill'" in one for one in told)


def test_a_folder_with_a_folder_for_each_class(tmp_path, caplog):
    for label, count in (("a", 5), ("b", 5), ("empty", 0)):
        (tmp_path / "scans" / label).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(np.eye(9, dtype=np.uint8) * 200).save(tmp_path / "scans" / label / f"{label}{number}.png")
    study_set = open_study_set(str(tmp_path / "scans"), tmp_path, seed=1)
    assert study_set.class_names == ("a", "b") and len(study_set.records) == 10
    assert study_set.split == "patient, shares [0.6, 0.2, 0.2], seed 1"  # as lists without a test section
    assert [(study_set.sections == one).sum() for one in ("training", "validation", "test")] == [6, 2, 2]
    assert "1 folder(s) without a file are no classes: empty" in caplog.text
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "scans" / "empty" / "one.png")
    with pytest.raises(
        DatalistError, match="every class must have 3 patients, one a section; found 1 of class 'empty'"
    ):
        open_study_set(str(tmp_path / "scans"), tmp_path)


def test_an_image_stands_in_one_section_and_twice_is_told(tmp_path, caplog):
    content = json.loads(write_images(tmp_path).read_text())
    content["training"].append({**content["training"][0], "patient": "another"})
    (tmp_path / "twice.json").write_text(json.dumps(content))
    assert len(open_study_set(str(tmp_path / "twice.json"), tmp_path).records) == 25
    assert "1 image(s) are listed twice, and count twice: p000.png" in caplog.text
    content["test"] = [content["training"].pop()]
    (tmp_path / "both.json").write_text(json.dumps(content))
    with pytest.raises(DatalistError, match="an image must stand in one section; found p000.png in training and test"):
        open_study_set(str(tmp_path / "both.json"), tmp_path)


@pytest.mark.parametrize("shape, dims", [((9, 9), 2), ((9, 9, 3), 2), ((6, 7, 8), 3)])
def test_medmnist_files_are_unpacked_without_loss(tmp_path, shape, dims):
    generator = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 6), ("val", 2), ("test", 4)):
        arrays[f"{part}_images"] = generator.integers(0, 255, (count, *shape), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(count) % 2)[:, None].astype(np.uint8)
    np.savez(tmp_path / "some.npz", **arrays)
    study_set = open_study_set(str(tmp_path / "some.npz"), tmp_path / "out")
    assert study_set.sections.tolist().count("test") == 4 and study_set.labels[:4].tolist() == [0, 1, 0, 1]
    assert len(set(study_set.patients)) == 12  # a row of a file of volumes is a patient of its own
    image = ImageReading(control("pixels"))(study_set.records[3])
    expected = arrays["train_images"][3].astype(float)
    expected /= 255
    if dims == 2:
        expected = np.moveaxis(expected.swapaxes(0, 1), -1, 0) if len(shape) == 3 else expected.T[None]
    else:
        expected = expected[None]
    assert np.allclose(np.asarray(image), expected, atol=1e-6)
    assert open_study_set(str(tmp_path / "some.npz"), tmp_path / "out").fingerprint == study_set.fingerprint


def test_volumes_of_a_medmnist_file_have_one_window_in_all_sections(tmp_path):
    def windows(tops):
        arrays = {f"{part}_labels": np.arange(2)[:, None] for part in tops}
        arrays |= {f"{part}_images": np.full((2, 4, 4, 4), top, np.uint8) for part, top in tops.items()}
        np.savez(tmp_path / "some.npz", **arrays)
        records = open_study_set(str(tmp_path / "some.npz"), tmp_path / "out").records
        return [record["intensity"]["a_max"] for record in records]

    assert windows({"train": 200, "val": 90, "test": 1}) == [255] * 6
    assert windows({"train": 1, "val": 0, "test": 1}) == [1] * 6  # shapes: 0 and 1
    listed = next((tmp_path / "out").rglob("datalist.json"))
    earlier = json.loads(listed.read_text())  # as unpacked before, with a window a section
    earlier["made_of"] = earlier["made_of"].partition(":")[2]
    earlier["test"][0]["intensity"]["a_max"] = 7
    listed.write_text(json.dumps(earlier))
    assert {
        one["intensity"]["a_max"] for one in open_study_set(str(tmp_path / "some.npz"), tmp_path / "out").records
    } == {1}


def test_what_cannot_be_asked_is_refused(tmp_path):
    with pytest.raises(DatalistError, match="^cxr_nih: must lie in a folder; found none at .*MEDGENESIS_DATA"):
        open_study_set(f"cxr_nih={tmp_path / 'absent'}", tmp_path)
    with pytest.raises(DatalistError, match="^dataset: must be a list"):
        open_study_set("nothing", tmp_path)
    listed = write_images(tmp_path, classes=1)
    with pytest.raises(DatalistError, match="must have two classes or more"):
        open_study_set(str(listed), tmp_path)
    content = json.loads(listed.read_text())
    content["training"] = [{"image": record["image"], "classes": [0, 1]} for record in content["training"]]
    listed.write_text(json.dumps(content))
    with pytest.raises(DatalistError, match=r"must have a `class`; found findings \(`classes`\)"):
        open_study_set(str(listed), tmp_path)
    np.savez(tmp_path / "odd.npz", train_images=np.zeros((2, 5, 5), np.uint8), train_labels=np.zeros((2, 14)))
    with pytest.raises(DatalistError, match="must have uint8 images and one label each"):
        open_study_set(str(tmp_path / "odd.npz"), tmp_path)


def test_options_are_of_the_data_set_and_told(tmp_path):
    place = tmp_path / "PALM-Training400" / "PALM-Training400"
    place.mkdir(parents=True)
    for name in [f"{kind}{number}.jpg" for kind in "NHP" for number in range(5)]:
        Image.fromarray(np.eye(9, dtype=np.uint8)).save(place / name)
    named = f"ichallenge_pm={tmp_path}"
    plain, high = (open_study_set(named, tmp_path, options=one) for one in ({}, {"high_myopia": "1"}))
    assert (plain.labels.sum(), high.labels.sum()) == (5, 10)
    assert high.told()["options"] == {"high_myopia": "1"} and "options" not in plain.told()
    for wrong in ({"finding": "Edema"}, {"high_myopia": "yes"}):
        with pytest.raises(ValueError, match="^options: must be some that ichallenge_pm=.* high_myopia=0; found"):
            open_study_set(named, tmp_path, options=wrong)
    assert (
        options_of("chexpert=x") == {"finding": "Pleural Effusion", "uncertain": "zeros"} and options_of("l.json") == {}
    )
