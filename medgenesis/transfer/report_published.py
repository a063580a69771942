"""The transfer study's published numbers on a study's page, and beside each the encoder of ours of that name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import pearsonr

from medgenesis.report import Report
from medgenesis.report.plots import scatter_chart
from medgenesis.report.text import figure_text
from medgenesis.transfer.published_images import published_diffusion, published_perceptual
from medgenesis.transfer.published_tables import (
    FINDING,
    FIVE_WAY,
    IMAGENET_TOP1,
    SHOTS,
    published_few_shot,
    published_finetune,
    published_linear,
    published_metric,
)
from medgenesis.transfer.result_settings import settings_said

Result = Mapping[str, Any]
_BY_CLASS = {"linear": published_linear, "finetune": published_finetune}


@dataclass(frozen=True)
class Published:
    """One column of the study.

    Args:
        values: model -> number, and half the width of its interval or None.
        measure: of ours that stands beside it.
        note: under the table, for what does and does not compare.
        shots, ways: labelled images a class, and classes, of an episode; None where there are no episodes.
    """

    values: Mapping[str, tuple[float, float | None]]
    measure: str
    note: str
    shots: int | None = None
    ways: int | None = None


def add_published(report: Report, question: str, dataset: str, results: Sequence[Result]) -> None:
    """Add the study's numbers of a question and a data set, where it has any.

    Args:
        report: the page.
        question: "few-shot", …
        dataset: its name.
        results: of both.
    """
    columns = list(_published(question, dataset))
    for one in columns:
        kept = [result for result in results if len(columns) == 1 or one.ways in (None, _ways(result))]
        _add(report, question, dataset, one, kept)


def correlation(points: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """Pearson's r and its two-sided p of named points; NaN for fewer than three, or where one side is constant."""
    table = np.array(list(points.values())).reshape(-1, 2)
    if len(table) < 3 or min(np.ptp(table, axis=0)) == 0:
        return float("nan"), float("nan")
    found = pearsonr(table[:, 0], table[:, 1])
    return float(found.statistic), float(found.pvalue)


def _published(question: str, dataset: str) -> Iterator[Published]:
    if question == "few-shot" and (known := published_few_shot(dataset)):
        both = published_few_shot(f"{dataset} 2-way")  # of CIFAR-10 alone
        first = 5 if dataset in FIVE_WAY else 2
        for ways, values in ((first, known), (2, both)) if both else ((first, known),):
            note = f"{SHOTS} shots, {ways}-way; comparable with --compat --shots {SHOTS} --ways {ways}"
            yield Published(values, "episode_accuracy", note, SHOTS, ways)
    elif question in _BY_CLASS and (column := _BY_CLASS[question](dataset)):
        yield Published(_plain(column), published_metric(dataset), "comparable with --compat alone")
    elif question == "saliency" and (column := published_diffusion(dataset)):
        note = "one image each, batch norm by its own statistics; comparable with --compat alone, and of that image"
        yield Published(_plain(column), "diffusion", note)
    elif question == "perceptual":
        for net, column in published_perceptual(dataset).items():
            note = "one image each, 3000 iterations without the encoders' own normalisation (inversion --compat)"
            yield Published(_plain(column), f"lpips_{net}", note)


def _plain(values: Mapping[str, float]) -> dict[str, tuple[float, float | None]]:
    return {model: (value, None) for model, value in values.items()}


def _ways(result: Result) -> int:
    ways = result["settings"].get("ways")
    return min(5, len(result["dataset"].get("classes", ()))) if ways is None else ways


def _departures(result: Result, column: Published) -> list[str]:
    """What of the data and the episodes is not as the published number's."""
    settings, classes = result["settings"], result["dataset"].get("classes")
    shots, ways = settings.get("shots"), _ways(result) if classes or settings.get("ways") else None
    said = [f"{shots} shots"] if column.shots and shots not in (None, column.shots) else []
    said += [f"{ways}-way"] if column.ways and ways not in (None, column.ways) else []
    finding = (result["dataset"].get("options") or {}).get("finding", FINDING)
    return said if finding == FINDING else [*said, f"finding {finding}"]


def _settings(result: Result, column: Published, among: Sequence[Result]) -> str:
    """What of a result differs from the published number, and from the others of ours."""
    departures, said = _departures(result, column), settings_said(result, among)
    return f"NOT the study's: {', '.join(departures)}. {said}".strip() if departures else said


def _add(report: Report, question: str, dataset: str, column: Published, results: Sequence[Result]) -> None:
    rows, own_points = [], {}
    for model, (value, half) in column.values.items():
        said = f"{value:.4f}" + (f" ± {half:.4f}" if half is not None else "")
        ours = [one for one in results if (one["encoder"].get("entry") or one["encoder"]["name"]) == model]
        ours = [one for one in ours if column.measure in one["figures"]]
        ours = [one for one in ours if one.get("compat") or one["settings"].get("compat")] or ours
        figures = [(figure_text(one["figures"][column.measure]), _settings(one, column, results)) for one in ours]
        rows += [(model, said, *figure) for figure in figures or [(None, None)]]
        if len(ours) == 1 and model in IMAGENET_TOP1 and not _departures(ours[0], column):
            own_points[model] = (IMAGENET_TOP1[model] / 100, float(ours[0]["figures"][column.measure]["value"]))
    note = f"{dataset}: published (Anton et al. 2022; {column.note}), and {column.measure} of ours."
    report.table(("model", "published", "ours", "settings"), rows, note)
    if column.measure not in ("accuracy", "balanced_accuracy", "episode_accuracy"):
        return
    points = {model: (top / 100, column.values[model][0]) for model, top in IMAGENET_TOP1.items()}
    for whose, some in (("published", points), ("ours", own_points)):
        if len(some) > 2:
            r, p = correlation(some)
            caption = f"{dataset}, {whose}: ImageNet top-1 against {question} accuracy, r = {r:.2f} (p = {p:.2f})."
            report.figure(scatter_chart(some, "ImageNet top-1", f"{question} accuracy", caption), caption)
