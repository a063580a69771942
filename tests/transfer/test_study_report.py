"""The page of a study, and the published numbers."""

import re

import numpy as np
import pytest
from helpers.study_sets import column_encoder, write_images

from medgenesis.errors import DatalistError
from medgenesis.report.plots import radar_chart, scatter_chart
from medgenesis.transfer.controls import control
from medgenesis.transfer.protocols.few_shot import FewShot
from medgenesis.transfer.protocols.linear import Linear
from medgenesis.transfer.published_tables import IMAGENET_TOP1, published_few_shot, published_linear
from medgenesis.transfer.study import ask
from medgenesis.transfer.study_report import correlation, write_study_report
from medgenesis.transfer.study_set import StudySet, open_study_set


def test_the_published_tables_are_those_of_the_study():
    assert published_few_shot("shenzhen")["moco-v2"] == pytest.approx((0.7376, 0.0066))  # README's check value
    assert published_few_shot("chestxray14_single")["mimic-chexpert-lr-0.01"] == pytest.approx((0.3373, 0.0045))
    assert published_linear("eyepacs")["pirl"] == pytest.approx(0.3151)
    assert published_few_shot("another") == {} and len(published_few_shot("stoic")) == 13


@pytest.mark.parametrize(
    "dataset, r, p",
    [("shenzhen", -0.67, 0.07), ("bach", 0.23, 0.59), ("ichallenge_pm", 0.61, 0.10), ("cifar10 2-way", 0.83, 0.01)],
)
def test_their_correlations_are_the_published_ones(dataset, r, p):
    known = published_few_shot(dataset)
    found = correlation({model: (top, known[model][0]) for model, top in IMAGENET_TOP1.items()})
    assert [round(one, 2) for one in found] == pytest.approx([r, p], abs=0.011)


def test_a_page_with_everything_on_it(tmp_path):
    study_set = open_study_set(str(write_images(tmp_path, per_class=24)), tmp_path)
    named = StudySet("shenzhen", study_set.records, study_set.class_names)
    settings = (FewShot(episodes=10), Linear((1.0,)))
    for one in (study_set, named):
        for encoder in (column_encoder("moco-v2"), column_encoder("other"), control("handmade")):
            for question in settings:
                ask(encoder, one, question, tmp_path / "study", intensity="xray")
    page = write_study_report(tmp_path / "study").read_text()
    assert "shenzhen: published" in page and "0.7376 ± 0.0066" in page and page.count("<svg") >= 3
    assert re.search(r"moco-v2</th><td[^>]*>0\.7376 ± 0\.0066</td><td[^>]*>1\.000 \[1\.000, 1\.000\]", page)
    assert "p is two-sided" in page and "://" not in page
    assert str(tmp_path) not in page and "p000" not in page
    with pytest.raises(DatalistError, match="must hold results; found none"):
        write_study_report(tmp_path / "empty")


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
