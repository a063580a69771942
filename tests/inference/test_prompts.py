"""Which records of a list are the prompts, and what is said of them."""

import json

import pytest

from medgenesis.data import load_datalist
from medgenesis.errors import DatalistError
from medgenesis.inference import choose_prompts


@pytest.fixture
def datalist(tmp_path):
    """Five training records, the second without label; one of their patients is tested by another scan."""
    for name in ("a0", "a1", "b0", "c0", "d0", "a2", "e0"):
        (tmp_path / f"{name}.nii.gz").touch()
        (tmp_path / f"{name}_seg.nii.gz").touch()

    def record(name, label=True):
        files = {"image": f"{name}.nii.gz", **({"label": f"{name}_seg.nii.gz"} if label else {})}
        return {**files, "patient": f"patient {name[0]}"}

    path = tmp_path / "list.json"
    training = [record("a0"), record("b0", label=False), record("c0"), record("d0"), record("a1")]
    test = [record("a2", label=False), record("e0")]
    path.write_text(json.dumps({"training": training, "validation": [record("b0", label=False)], "test": test}))
    return path


def names(records):
    return [record["image"].rpartition("/")[2].split(".")[0] for record in records]


@pytest.mark.parametrize("shots, wanted", [(1, ["a0"]), (2, ["a0", "c0"]), (4, ["a0", "c0", "d0", "a1"])])
def test_the_first_labelled_ones(datalist, shots, wanted, caplog):
    load_datalist(datalist)  # what it warns of is said once
    caplog.clear()
    assert names(choose_prompts(datalist, shots=shots)) == wanted
    assert not caplog.text


@pytest.mark.parametrize("shots", [0, -1, 1.5, True, None, "2"])
def test_no_number_of_prompts(datalist, shots):
    with pytest.raises(ValueError, match=f"^shots: must be a whole number from 1; found {shots!r}. "):
        choose_prompts(datalist, shots=shots)


def test_fewer_than_asked_for_is_said(datalist, caplog):
    assert names(choose_prompts(datalist, shots=20)) == ["a0", "c0", "d0", "a1"]
    assert "shots: 20 asked for, but section 'training'" in caplog.text and "has 4 labelled record(s)" in caplog.text


def test_a_section_without_label_maps(datalist):
    with pytest.raises(DatalistError, match="^prompt_section: must .*found none at the 1 records of 'validation'"):
        choose_prompts(datalist, "validation")


@pytest.mark.parametrize(
    "section, shots, answered, said",
    [
        ("training", 1, "test", (2, 0, 1, ["a2"])),
        ("training", 1, "training", (5, 1, 1, ["a0", "a1"])),
        ("training", 3, "training", (5, 3, 1, ["a0", "c0", "d0", "a1"])),
        ("test", 1, "test", (2, 1, 0, ["e0"])),
    ],
)
def test_what_answers_itself_is_counted_and_named(datalist, section, shots, answered, said, caplog):
    asked = load_datalist(datalist, answered)
    choose_prompts(datalist, section, shots, answered=asked)
    of, themselves, patients, files = said
    assert (
        f"of {of} images to be segmented {themselves} are prompts themselves and {patients} are others of the prompts' "
        "patients"
    ) in caplog.text
    assert f"({', '.join(str(datalist.parent / name) + '.nii.gz' for name in files)})" in caplog.text
    assert "patient a" not in caplog.text


def test_a_relative_name_is_the_same_file_and_a_row_of_a_stack_another_image(datalist, monkeypatch, caplog):
    monkeypatch.chdir(datalist.parent)
    choose_prompts(datalist, answered=[{"image": "a0.nii.gz"}, {"image": "a0.nii.gz", "cube": 3}])
    assert "of 2 images to be segmented 1 are prompts themselves and 0 are others" in caplog.text


def test_unseen_patients_are_no_remark(datalist, caplog):
    load_datalist(datalist)
    caplog.clear()
    choose_prompts(datalist, shots=4, answered=[{"image": "z.nii.gz", "patient": "patient z"}, {"image": "y.nii.gz"}])
    assert not caplog.text
