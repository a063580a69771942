"""The command `medgenesis transfer`, on images whose class is known by construction."""

import csv
import json

import pytest
from helpers.study_sets import write_images

from medgenesis.cli import main


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"), per_class=30)


def asked(capsys, *words):
    assert main(["transfer", *map(str, words)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_every_question_finds_the_answer_that_is_there(listed, tmp_path, capsys):
    common = ("--encoder", "columns=helpers.study_sets:ColumnMeans", "handmade", "--dataset", listed, "--out", tmp_path)
    out = asked(capsys, "few-shot", *common, "--episodes", 20)
    assert "columns" in out and "1.000 [1.000, 1.000]" in out
    asked(capsys, "knn", *common, "--k", 3)
    asked(capsys, "linear", *common, "--C", 0.1, 1)
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["question"], row["encoder"]) for row in rows} == {
        (question, encoder) for question in ("few-shot", "knn", "linear") for encoder in ("columns", "handmade")
    }
    assert all(float(row["accuracy"]) == 1 for row in rows if row["encoder"] == "columns")
    result = json.loads((tmp_path / rows[0]["file"]).read_text())
    assert result["settings"] and result["dataset"]["split"].startswith("patient") and result["encoder"]["size"]
    assert len(list((tmp_path / "features").glob("*.npy"))) == 2  # computed once for three questions
    with (tmp_path / "comparisons.csv").open() as file:
        pairs = list(csv.DictReader(file))
    assert pairs and {pair["one"] for pair in pairs} == {"columns"} and all(pair["p"] for pair in pairs)


def test_compat_is_the_studys(listed, tmp_path, capsys):
    common = ("--encoder", "columns=helpers.study_sets:ColumnMeans", "--dataset", listed, "--out", tmp_path)
    asked(capsys, "few-shot", *common, "--episodes", 5, "--compat")
    (path,) = (tmp_path / "results" / "few-shot").glob("*.json")
    result = json.loads(path.read_text())
    assert result["settings"]["by_patient"] is False and result["encoder"]["geometry 2D"]["rule"] == "episode"
    assert result["compat"] is True


def test_wrong_words_are_told(listed, tmp_path, capsys):
    words = ["transfer", "knn", "--dataset", str(listed), "--out", str(tmp_path), "--encoder", "pixels"]
    assert main([*words, "pixels"]) == 2
    assert "--encoder: names must differ; found 'pixels' twice" in capsys.readouterr().err
    assert main([*words[:-1], "nothing"]) == 2
    assert "encoder: must be a bundle" in capsys.readouterr().err
