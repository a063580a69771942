"""The command `medgenesis transfer`, on images whose class is known by construction."""

import argparse
import csv
import json
import re

import pytest
from helpers.study_sets import write_images

from medgenesis.cli import main
from medgenesis.cli.study.options import study_sets
from medgenesis.storage.run_record import starts


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
    assert {pair["question"] for pair in pairs} == {"few-shot", "knn", "linear"}  # not of the last question alone
    assert all((tmp_path / pair[name]).is_file() for pair in pairs for name in ("one_file", "other_file"))
    assert "columns" not in asked(capsys, "knn", "--encoder", "pixels", *common[3:])  # said are those of this call


def test_analyses_are_part_of_the_study_and_of_its_page(listed, tmp_path, capsys):
    content = json.loads(listed.read_text())
    records = [{**one, "patient": str(number // 2)} for number, one in enumerate(content["training"])]
    two_views = listed.with_name("views.json")
    two_views.write_text(json.dumps({**content, "training": records}))
    encoders = ("--encoder", "columns=helpers.study_sets:ColumnMeans", "handmade")
    common = (*encoders, "--dataset", two_views, "--out", tmp_path)
    cka = asked(capsys, "cka", *common)
    assert "cka_debiased" in cka and (tmp_path / "cka_bright.csv").is_file()
    out = asked(capsys, "invariance", *common, "--changes", "flip", "gamma", "--images", 4)
    assert "flip" in out and len(list((tmp_path / "invariance").glob("columns__bright__*/gamma.csv"))) == 1
    asked(capsys, "invariance", *common, "--changes", "flip", "--images", 4, "--geometry", "squash")
    asked(capsys, "invariance", *common, "--changes", "flip", "--images", 4)
    assert len(list((tmp_path / "results" / "invariance").glob("columns__*.json"))) == 3  # squash replaces nothing
    assert "retrieval" in asked(capsys, "multiview", *common)
    assert starts(tmp_path)[-1]["config"]["asked"]["question"] == "multiview"
    one = (*encoders[:2], "--dataset", two_views, "--out", tmp_path)
    asked(capsys, "saliency", *one, "--images", 1, "--window", 8, "--stride", 4)
    asked(capsys, "saliency", *one, "--images", 2, "--window", 16, "--stride", 8)
    names = {path.stem for path in (tmp_path / "results" / "saliency").glob("*.json")}
    assert names == {path.name for path in (tmp_path / "saliency").iterdir()}  # each run its own maps
    assert sorted(len(list((tmp_path / "saliency" / name).glob("*.png"))) for name in names) == [1, 2]
    asked(capsys, "report", "--out", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert all(word in page for word in ("saliency", "invariance", "multiview", "data:image/png", "bright: gamma."))
    assert "What made this run" in page and "question: saliency" in page  # the last one asked
    assert main(["transfer", "cka", *map(str, one)]) == 2
    assert "--encoder: must be two or more for CKA" in capsys.readouterr().err


def test_finetuning_is_a_question_with_its_place_on_the_page(listed, tmp_path, capsys):
    common = ("--dataset", listed, "--out", tmp_path, "--steps", 10, "--every", 5, "--batch-size", 8, "--rate", 0.3)
    common = (*common, "--no-flip", "--least-share", 0.8, "--cache", "memory")
    named = ("--encoder", "one=helpers.study_sets:LearntColumns")
    out = asked(capsys, "finetune", *named, *common)
    assert "one" in out and re.search(r"1\.000 \[0\.\d{3}, 1\.000\]", out)
    with (tmp_path / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["question"] == "finetune" and row["setting steps"] == "10" and row["setting compat"] == "False"
    asked(capsys, "report", "--out", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "bright: what was tested." in page and "the metric of validation" in page
    assert main(["transfer", "finetune", "--encoder", "pixels", *map(str, common)]) == 2
    assert "pixels: must have weights to be fine-tuned" in capsys.readouterr().err


def test_places_of_xrays_are_asked_about_under_the_same_command(listed, tmp_path, capsys):
    lines = [f"p{number:03d}.png,{name},{x},{y}" for number in range(4) for name, x, y in (("a", 9, 9), ("b", 30, 25))]
    marks = tmp_path / "landmarks.csv"
    marks.write_text("\n".join(["image,landmark,x,y", *lines]) + "\n")
    common = ("--encoder", "columns=helpers.study_sets:ColumnMeans", "--dataset", listed, "--out", tmp_path)
    out = asked(capsys, "landmarks", *common, "--landmarks", marks, "--radius", 5, "--stride", 10)
    assert "same place within 5 px" in out and re.search(r"  1\.000 +0\.000$", out, re.M)  # alike: no interval
    assert "silhouette" in asked(capsys, "locality", *common, "--landmarks", marks)
    assert "4 parts, difference" in asked(capsys, "compositionality", *common, "--images", 3, "--patches", 6)
    asked(capsys, "report", "--out", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert all(word in page for word in ("same place within 5 px", "two main directions", "2 parts, difference"))


def test_reconstructions_are_made_compared_and_shown(listed, tmp_path, capsys):
    out = asked(
        *(capsys, "inversion", "--encoder", "columns=helpers.study_sets:ColumnMeans", "--dataset", listed),
        *("--out", tmp_path, "--steps", 2),
    )
    assert "feature_error" in out
    out = asked(capsys, "perceptual", "--out", tmp_path, "--by", "net=helpers.study_sets:LearntColumns")
    assert "features of net" in out and (tmp_path / "perceptual_features-of-net.csv").is_file()
    asked(capsys, "report", "--out", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert all(word in page for word in ("what its features tell of it", "data:image/png", "features of net"))
    assert main(["transfer", "perceptual", "--out", str(tmp_path / "empty"), "--by", "pixels"]) == 2
    assert "must hold reconstructions; found none" in capsys.readouterr().err


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
    again = f"{listed.parent}/./{listed.name}"
    assert main([*words[:3], str(listed), again, *words[4:]]) == 2
    assert "--dataset: names must differ; found 'bright' of" in capsys.readouterr().err
    assert main([*words[:-1], "nothing"]) == 2
    assert "encoder: must be a bundle" in capsys.readouterr().err


def test_intensities_are_known_to_all_encoders_before_the_first_is_asked(listed, tmp_path, capsys):
    content = json.loads(listed.read_text())
    records = [{key: value for key, value in one.items() if key != "intensity"} for one in content["training"]]
    untold = listed.with_name("untold.json")
    untold.write_text(json.dumps({**content, "name": "untold", "training": records}))
    words = ["transfer", "knn", "--dataset", listed, untold, "--out", tmp_path, "--encoder", "handmade"]
    assert main([*map(str, words), "columns=helpers.study_sets:ColumnMeans"]) != 0
    assert "its intensities must be known" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.npy"))


UNUSED = [("propagate", "batch-size"), ("propagate", "geometry"), ("saliency", "geometry"), ("inversion", "batch-size")]


@pytest.mark.parametrize("question, option", UNUSED)
def test_an_option_that_would_have_no_effect_is_refused(question, option, tmp_path, capsys):
    words = ["transfer", question, "--encoder", "pixels", "--dataset", "x.json", "--out", str(tmp_path)]
    with pytest.raises(SystemExit):
        main([*words, f"--{option}", {"geometry": "squash", "batch-size": "4"}[option]])
    assert f"--{option}" in capsys.readouterr().err


def test_options_go_to_the_data_sets_that_take_them(tmp_path):
    given = argparse.Namespace(question="few-shot", compat=True, seed=0, out=str(tmp_path), reference_split=False)
    for number in range(24):
        folder = tmp_path / "CheXpert-v1.0" / "train" / f"patient{number:05d}" / "study1"
        folder.mkdir(parents=True)
        (folder / "view1_frontal.jpg").touch()
    rows = [
        f"CheXpert-v1.0/train/patient{number:05d}/study1/view1_frontal.jpg,Frontal,{['', '1.0', '-1.0'][number % 3]},1"
        for number in range(24)
    ]
    (tmp_path / "train.csv").write_text("\n".join(["Path,Frontal/Lateral,Pleural Effusion,Edema", *rows]) + "\n")
    given.dataset = [f"chexpert={tmp_path}"]
    counts = []
    for given.data_option, given.compat in (([], True), ([], False), (["uncertain=ignore"], True)):
        (known,) = study_sets(given, labelled=True)
        counts.append((len(known.records), int(known.labels.sum())))
    assert counts == [(24, 16), (24, 8), (16, 8)]
    given.data_option = ["reader=junior"]
    with pytest.raises(ValueError, match="^--data-option: must be .* finding, uncertain; found 'reader=junior'"):
        next(study_sets(given, labelled=True))
