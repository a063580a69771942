"""The page of a study, and the published numbers."""

import re

import numpy as np
import pytest
from helpers.study_sets import column_encoder, write_images
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.errors import DatalistError
from medgenesis.report import Report
from medgenesis.report.plots import radar_chart, scatter_chart
from medgenesis.transfer.controls import control
from medgenesis.transfer.protocols.few_shot import FewShot
from medgenesis.transfer.protocols.linear import Linear
from medgenesis.transfer.published_images import published_diffusion, published_perceptual
from medgenesis.transfer.published_tables import (
    IMAGENET_TOP1,
    MODELS,
    published_few_shot,
    published_finetune,
    published_linear,
)
from medgenesis.transfer.questions.classes import ask
from medgenesis.transfer.report_analyses import add_analysis
from medgenesis.transfer.report_published import add_published, correlation
from medgenesis.transfer.result_settings import of_equal_settings, settings_said
from medgenesis.transfer.results import load_results, save_result
from medgenesis.transfer.study_report import _chosen, write_study_report
from medgenesis.transfer.study_set import StudySet, open_study_set
from medgenesis.weights.catalog import CATALOG


def test_the_published_tables_are_those_of_the_study():
    assert published_few_shot("shenzhen")["moco-v2"] == pytest.approx((0.7376, 0.0066))  # README's check value
    assert published_few_shot("chestxray14_single")["mimic-chexpert-lr-0.01"] == pytest.approx((0.3373, 0.0045))
    assert published_linear("eyepacs")["pirl"] == pytest.approx(0.3151)
    assert (
        published_finetune("chexpert")["moco-v2"] == pytest.approx(0.7996) and len(published_finetune("eyepacs")) == 8
    )
    assert published_few_shot("another") == {} and len(published_few_shot("stoic")) == 13


def test_the_figures_of_single_images_are_those_of_the_study():
    assert published_diffusion("chexpert")["moco-v2"] == pytest.approx(0.4864)  # README's check value
    assert "supervised-r18" not in published_diffusion("imagenet") and len(published_diffusion("eyepacs")) == 13
    assert published_perceptual("stoic")["vgg"]["moco-cxr-d121"] == pytest.approx(0.515)
    assert published_perceptual("shenzhen")["alex"]["simclr-v1"] == pytest.approx(0.946)
    assert published_diffusion("stoic") == {} == published_perceptual("another")


def test_every_published_model_is_of_the_catalogue():
    assert set(MODELS) <= {one.name for one in CATALOG}  # whose name `FILE#NAME` puts into a result as its entry


@pytest.mark.parametrize(
    "dataset, r, p",
    [("shenzhen", -0.67, 0.07), ("bach", 0.23, 0.59), ("ichallenge_pm", 0.61, 0.10), ("cifar10 2-way", 0.83, 0.01)],
)
def test_their_correlations_are_the_published_ones(dataset, r, p):
    known = published_few_shot(dataset)
    found = correlation({model: (top, known[model][0]) for model, top in IMAGENET_TOP1.items()})
    assert [round(one, 2) for one in found] == pytest.approx([r, p], abs=0.011)


def test_a_page_with_everything_on_it(tmp_path):
    study_set = open_study_set(str(write_images(tmp_path, per_class=8)), tmp_path)
    named = StudySet("shenzhen", study_set.records, study_set.class_names)
    questions = (FewShot(shots=2, queries=3, episodes=4), Linear((1.0,)))
    for one in (study_set, named):
        for encoder in (column_encoder("moco-v2"), column_encoder("other"), control("handmade")):
            for question in questions:
                ask(encoder, one, question, tmp_path / "study", intensity="xray")
    page = write_study_report(tmp_path / "study").read_text()
    assert "shenzhen: published" in page and "0.7376 ± 0.0066" in page and page.count("<svg") >= 3
    assert re.search(r"moco-v2</th><td[^>]*>0\.7376 ± 0\.0066</td><td[^>]*>1\.000 \[1\.000, 1\.000\]", page)
    assert "p is two-sided" in page and "://" not in page
    assert str(tmp_path) not in page and "p000" not in page
    with pytest.raises(DatalistError, match="must hold results; found none"):
        write_study_report(tmp_path / "empty")


def saved(folder, encoder, value, question="linear", dataset="eyepacs", split="list", compat=None, **settings):
    figures = {name: {"value": value + shift, "low": 0.0, "high": 1.0} for name, shift in SHIFTS.items()}
    data = {"dataset": dataset, "split": split, "images": 1, "patients": 1, "classes": []}
    told = {"name": encoder, "encoder (fingerprint)": "f"}
    more = {} if compat is None else {"compat": compat}
    return save_result(folder, question, told, data, settings, figures, **more)


SHIFTS = {"accuracy": 0.0, "balanced_accuracy": 0.05, "auc": 0.2}


def published(results, question="linear", dataset="eyepacs"):
    report = Report("t", "n")
    add_published(report, question, dataset, results)
    return "".join(report._parts)


def test_of_eyepacs_the_mean_of_the_classes_is_beside_the_published_one(tmp_path):
    saved(tmp_path, "pirl", 0.6)
    saved(tmp_path, "pirl", 0.7, dataset="chexpert")
    results = load_results(tmp_path)
    assert re.search(r"pirl</th><td[^>]*>0\.3151</td><td[^>]*>0\.650", published(results[1:]))
    assert re.search(r"pirl</th><td[^>]*>0\.7420</td><td[^>]*>0\.700", published(results[:1], dataset="chexpert"))


def test_compat_chooses_by_the_mean_of_the_classes_where_the_study_did(tmp_path):
    study_set = open_study_set(str(write_images(tmp_path, per_class=8)), tmp_path)
    metrics = {}
    for name in ("eyepacs", "chexpert"):
        named = StudySet(name, study_set.records, study_set.class_names)
        result = ask(control("handmade"), named, Linear.as_published((1.0,)), tmp_path / "study", intensity="xray")
        metrics[name] = result["settings"]["metric"]
    assert metrics == {"eyepacs": "balanced_accuracy", "chexpert": "accuracy"}


def test_results_of_several_settings_have_a_row_each_and_compat_goes_first(tmp_path):
    saved(tmp_path, "pirl", 0.6, seed=0)
    saved(tmp_path, "pirl", 0.7, seed=1)
    saved(tmp_path, "byol", 0.5, seed=0)
    saved(tmp_path, "byol", 0.8, seed=1, compat=True)
    page = published(load_results(tmp_path))
    assert "0.650 [" in page and "0.750 [" in page and "seed 0" in page and "seed 1" in page
    assert "0.850 [" in page and "0.550 [" not in page


def test_ours_of_other_episodes_or_findings_say_so(tmp_path):
    def few(dataset, value, options=None, **settings):
        data = {"dataset": dataset, "split": "list", "classes": ["c"] * 4, "options": options}
        told = {"name": "x", "entry": "swav", "encoder (fingerprint)": "f"}
        figures = {"episode_accuracy": {"value": value}}
        save_result(tmp_path, "few-shot", told, data, settings, figures)

    few("bach", 0.61, shots=5, ways=None)
    few("bach", 0.81, shots=20, ways=2)
    few("chexpert", 0.7, {"finding": "Edema"}, shots=20, ways=2)
    results = load_results(tmp_path)
    bach, chexpert = (
        published([one for one in results if one["dataset"]["dataset"] == name], "few-shot", name)
        for name in ("bach", "chexpert")
    )
    assert re.search(r"0\.610</td><td[^>]*>NOT the study(?:'|&#x27;|&#39;)s: 5 shots, 4-way\.", bach)
    assert re.search(r"0\.810</td><td[^>]*>shots 20, ways 2", bach)
    assert "finding Edema." in chexpert and "--shots 20 --ways 2" in bach


def test_findings_of_one_data_set_can_be_told_apart(tmp_path):
    for encoder, finding in (("a", "Edema"), ("b", "Atelectasis")):
        data = {"dataset": "chexpert", "split": "list", "images": 1, "patients": 1, "classes": ["x", "y"]}
        data |= {"options": {"finding": finding}, "images by section and class": {}}
        told = {"name": encoder, "encoder (fingerprint)": encoder}
        save_result(tmp_path, "linear", told, data, {}, {"auc": {"value": 0.5, "low": 0.4, "high": 0.6}})
    results = load_results(tmp_path)
    assert {settings_said(one, results) for one in results} == {"finding Edema", "finding Atelectasis"}
    page = write_study_report(tmp_path).read_text()
    sets = page[page.index("Data sets") :]
    assert "finding Edema" in sets and "finding Atelectasis" in sets


def test_of_cifar10_each_number_of_ways_has_its_own_column(tmp_path):
    for ways, value in ((2, 0.91), (5, 0.72)):
        figures = {"episode_accuracy": {"value": value, "low": 0.0, "high": 1.0}}
        told = {"name": "x", "entry": "swav", "encoder (fingerprint)": "f"}
        save_result(tmp_path, "few-shot", told, {"dataset": "cifar10", "classes": ["c"] * 10}, {"ways": ways}, figures)
    page = published(load_results(tmp_path), "few-shot", "cifar10")
    assert re.search(r"swav</th><td[^>]*>0\.7838 ± 0\.0053</td><td[^>]*>0\.720", page)
    assert re.search(r"swav</th><td[^>]*>0\.9222 ± 0\.0062</td><td[^>]*>0\.910", page)


def test_ours_are_drawn_against_imagenet_too(tmp_path):
    for name, value in (("pirl", 0.6), ("byol", 0.7), ("swav", 0.8)):
        saved(tmp_path, name, value)
    page = published(load_results(tmp_path))
    assert "eyepacs, ours: ImageNet top-1 against linear accuracy, r = " in page


def test_figures_of_single_images_stand_beside_the_published_ones(tmp_path):
    told, data = {"name": "swav", "encoder (fingerprint)": "f"}, {"dataset": "bach", "split": "list"}
    save_result(tmp_path, "saliency", told, data, {"compat": True}, {"diffusion": {"value": 0.4}})
    save_result(tmp_path, "perceptual", told, data, {}, {"lpips_vgg": {"value": 0.7}, "ssim": {"value": 0.1}})
    save_result(tmp_path, "cka", told, data, {"other": "o"}, {"cka": {"value": 0.25}}, other={"name": "o"})
    report = Report("t", "n")
    for question in ("saliency", "perceptual", "cka"):
        add_analysis(report, question, load_results(tmp_path, question), tmp_path)
    page = "".join(report._parts)
    assert re.search(r"swav</th><td[^>]*>0\.4834</td><td[^>]*>0\.400", page)
    assert re.search(r"swav</th><td[^>]*>0\.8330</td><td[^>]*>0\.700", page)
    assert re.search(r"swav and o</th><td[^>]*>bach</td><td[^>]*>0\.250", page)


def test_splits_of_one_encoder_and_data_set_can_be_told_apart(tmp_path):
    for split in ("list", "reference (by image)"):
        saved(tmp_path, "pirl", 0.6, split=split, seed=0)
    saved(tmp_path, "pirl", 0.6, dataset="chexpert", split="list", seed=0)
    results = load_results(tmp_path)
    said = sorted(settings_said(one, results) for one in results)
    assert said == ["", "split list", "split reference (by image)"]


@given(st.permutations(range(7)))
@settings(max_examples=20, deadline=None)
def test_a_figure_is_of_equal_settings_whatever_the_order(order):
    def one(encoder, compat=False, split="list", **asked):
        dataset = {"dataset": "d", "split": split}
        return {
            "question": "few-shot",
            "encoder": {"name": encoder},
            "dataset": dataset,
            "compat": compat,
            "settings": asked,
        }

    wanted = [one("a", shots=20), one("b", shots=20)]
    others = [one("a", shots=5), one("b", shots=20, compat=True), one("c", shots=20, compat=True)]
    others += [one("b", shots=20, split="reference (by image)"), one("c", shots=20, split="reference (by image)")]
    every = [*wanted, *others]
    chosen = of_equal_settings([every[place] for place in order])
    assert sorted(one["encoder"]["name"] for one in chosen) == ["a", "b"] and all(one in wanted for one in chosen)
    said = _chosen(chosen, every)
    assert "few-shot on d: of" in said and "shots 20" in said and "without c" in said and _chosen(wanted, wanted) == ""


def test_radar_and_scatter_lie_where_the_values_say():
    chart = radar_chart({"one": {"a": 1.0, "b": 0.5, "c": 0.0, "d": 1.0}}, "alt", 0, 1)
    line = re.search(r'<polyline points="([^"]+)"', chart)[1]
    assert line == "260.0,40.0 315.0,150.0 260.0,150.0 150.0,150.0 260.0,40.0"
    places = [
        [float(one) for one in pair]
        for pair in re.findall(
            r'cx="([\d.]+)" cy="([\d.]+)"', scatter_chart({"a": (0, 0), "b": (1, 2), "c": (2, 4)}, "x", "y", "alt")
        )
    ]
    assert (
        np.allclose(np.diff(places, axis=0)[0], np.diff(places, axis=0)[1], atol=0.11) and places[0][1] > places[2][1]
    )
    with pytest.raises(ValueError, match="^values: must have three axes"):
        radar_chart({"one": {"a": 1, "b": 1}}, "alt", 0, 1)
    with pytest.raises(ValueError, match="^points: must be finite"):
        scatter_chart({}, "x", "y", "alt")


def test_what_is_not_finite_is_not_drawn_on_a_radar(tmp_path):
    values = {
        "one": {"a": 1.0, "b": float("nan"), "c": 0.5, "d": 1.0},
        "two": {"b": 1.0},
        "absent": {"a": float("nan")},
    }
    chart = radar_chart(values, "alt", 0, 1)
    lines = re.findall(r'<polyline points="([^"]+)"', chart)
    assert lines == ["260.0,40.0 260.0,205.0 150.0,150.0", "370.0,150.0"] and "absent" not in chart
    with pytest.raises(ValueError, match="found 2, 0 and 1"):
        radar_chart({"one": {"a": 1.0, "b": float("nan"), "c": 0.5}}, "alt", 0, 1)
    for dataset, value in (("a", 0.5), ("b", float("nan")), ("c", 0.6)):
        data = {"dataset": dataset, "split": "list", "images": 1, "patients": 1, "classes": ["x", "y"]}
        data["images by section and class"] = {}
        told = {"name": "e", "encoder (fingerprint)": "f"}
        save_result(tmp_path, "linear", told, data, {}, {"auc": {"value": value, "low": value, "high": value}})
    page = write_study_report(tmp_path).read_text()
    assert "the middle is" not in page and "[nan" not in page  # two finite axes
