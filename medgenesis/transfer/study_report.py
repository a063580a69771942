"""The page of a transfer study: all results side by side, with intervals, paired tests and the published numbers."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.errors import DatalistError
from medgenesis.report import Report
from medgenesis.report.plots import radar_chart, scatter_chart
from medgenesis.report.run_made import add_run_record
from medgenesis.report.text import figure_text, p_text
from medgenesis.transfer.comparisons import QUESTIONS, compare
from medgenesis.transfer.report_analyses import add_analysis, add_training
from medgenesis.transfer.report_published import add_published, correlation
from medgenesis.transfer.result_settings import of_equal_settings, settings_said
from medgenesis.transfer.results import load_results

logger = logging.getLogger(__name__)

_MAIN = {"few-shot": "accuracy", "linear": "auc", "knn": "auc", "finetune": "auc", "propagate": "dice"}

Result = Mapping[str, Any]


def write_study_report(folder: str | Path, title: str = "Transfer study") -> Path:
    """Write `report.html` of all results in a folder, whole or not at all, and return its path.

    Args:
        folder: of the study.
        title: of the page.

    Raises:
        DatalistError: there are no results.
    """
    folder = Path(folder)
    results = load_results(folder)
    if not results:
        raise DatalistError(
            f"{folder}: must hold results; found none. Ask a question first: medgenesis transfer linear."
        )
    report = Report(title, "Research software: not for diagnosis or treatment.")
    analyses = [result for result in results if result["question"] not in QUESTIONS]
    results = [result for result in results if result["question"] in QUESTIONS]
    pairs = compare(results, folder)
    for question in (one for one in QUESTIONS if any(result["question"] == one for result in results)):
        own = [result for result in results if result["question"] == question]
        report.heading(question)
        _figures(report, question, own)
        _radar(report, question, own)
        main = [pair for pair in pairs if pair["question"] == question and pair["measure"] == _MAIN[question]]
        _pairs(report, main, {one["path"].relative_to(folder).as_posix(): settings_said(one, own) for one in own})
        add_training(report, [result for result in own if "training" in result])
        for dataset in dict.fromkeys(result["dataset"]["dataset"] for result in own):
            add_published(report, question, dataset, [one for one in own if one["dataset"]["dataset"] == dataset])
    _between_questions(report, results)
    for question in dict.fromkeys(result["question"] for result in analyses):
        report.heading(question)
        add_analysis(report, question, [one for one in analyses if one["question"] == question], folder)
    _data_sets(report, [*results, *analyses])
    _encoders(report, [*results, *analyses])
    add_run_record(report, folder)
    return report.write(folder / "report.html")


def _figures(report: Report, question: str, results: Sequence[Result]) -> None:
    measures = list(dict.fromkeys(name for result in results for name in result["figures"]))
    rows = []
    for result in sorted(results, key=lambda one: (one["dataset"]["dataset"], -_main(one))):
        figures = [figure_text(result["figures"].get(name)) for name in measures]
        settings = settings_said(result, results)
        rows.append((result["encoder"]["name"], result["dataset"]["dataset"], *figures, settings))
    note = "Intervals are 95 %, over patients."
    if question == "few-shot":
        note += " Those of episode_accuracy and auc are ± 1.96 sd / sqrt(episodes), as the study has them."
    if question == "propagate":
        note += " same_place_dice is of the answer that looks at no image: the mean of the labelled label maps."
    report.table(("encoder", "data set", *measures, "settings"), rows, note)


def _radar(report: Report, question: str, results: Sequence[Result]) -> None:
    values: dict[str, dict[str, float]] = {}
    chosen = of_equal_settings(results)
    for result in (one for one in chosen if np.isfinite(_main(one))):
        values.setdefault(result["encoder"]["name"], {})[result["dataset"]["dataset"]] = _main(result)
    if len({axis for one in values.values() for axis in one}) < 3:
        return
    every = [value for one in values.values() for value in one.values()]
    low = min(0.0 if question == "propagate" else 0.5, *every)
    caption = f"{_MAIN[question]}; the middle is {low:.2f}, the rim 1.{_chosen(chosen, results)}"
    report.figure(radar_chart(values, f"{question}: {caption}", low, 1.0), caption)


def _pairs(report: Report, pairs: Sequence[Mapping[str, Any]], settings: Mapping[str, str]) -> None:
    """Paired tests; `settings` of the results, by file."""
    rows = [
        (
            pair["one"],
            pair["other"],
            pair["dataset"],
            figure_text({**pair, "value": pair["difference"]}),
            p_text(pair["p"]),
            settings.get(pair["one_file"]),
        )
        for pair in pairs
    ]
    if rows:
        note = (
            "Difference of the first to the second on the same patients; p is two-sided, of Student's t, not corrected "
            "for the pairs."
        )
        report.table(("encoder", "less", "data set", pairs[0]["measure"], "p", "settings"), rows, note)


def _between_questions(report: Report, results: Sequence[Result]) -> None:
    """Whether one question foretells another, over the encoders."""
    for dataset in dict.fromkeys(result["dataset"]["dataset"] for result in results):
        every = [result for result in results if result["dataset"]["dataset"] == dataset]
        own = of_equal_settings(every)
        few, line = (
            {one["encoder"]["name"]: _main(one) for one in own if one["question"] == question}
            for question in ("few-shot", "linear")
        )
        points = {name: (few[name], line[name]) for name in few if name in line}
        points = {name: pair for name, pair in points.items() if np.isfinite(pair).all()}
        if len(points) > 2:
            r, p = correlation(points)
            found = f"r = {r:.2f} (p = {p:.2f})"
            caption = f"{dataset}: few-shot accuracy against linear AUC of {len(points)} encoders, {found}."
            caption += _chosen(own, [one for one in every if one["question"] in ("few-shot", "linear")])
            report.figure(scatter_chart(points, "few-shot accuracy", "linear AUC", caption), caption)


def _data_sets(report: Report, results: Sequence[Result]) -> None:
    report.heading("Data sets")
    known = {
        (one["dataset"]["dataset"], str(one["dataset"]["split"]), str(one["dataset"].get("options"))): one["dataset"]
        for one in results
    }
    rows = [
        (
            name,
            ", ".join(f"{option} {value}" for option, value in (one.get("options") or {}).items()) or None,
            one["images"],
            one["patients"],
            ", ".join(one["classes"]),
            one["split"],
            str(one["images by section and class"]),
        )
        for (name, *_), one in known.items()
    ]
    report.table(
        ("data set", "options", "images", "patients", "classes", "split", "images by section and class"),
        rows,
        "As asked.",
    )


def _encoders(report: Report, results: Sequence[Result]) -> None:
    report.heading("Encoders")
    hidden = ("name", "version", "encoder (fingerprint)")
    known = {one["encoder"]["encoder (fingerprint)"] + one["encoder"]["name"]: one["encoder"] for one in results}
    rows = [
        (
            one["name"],
            ", ".join(f"{name}: {value}" for name, value in one.items() if name not in hidden and value is not None),
        )
        for one in known.values()
    ]
    names = [row[0] for row in rows]
    for name in {name for name in names if names.count(name) > 1}:
        report.paragraph(f"Several encoders are called {name}: their rows above cannot be told apart. Name them anew.")
        logger.warning("report: several encoders are called %s", name)
    report.table(("encoder", "what it is"), rows, "What each has been shown, and its weights.")


def _chosen(chosen: Sequence[Result], among: Sequence[Result]) -> str:
    """Which results a figure shows, where there are others of the same encoders and data sets; nothing else."""
    left = [one for one in among if not any(one is other for other in chosen)]
    if not left:
        return ""
    said = []
    for question, dataset in dict.fromkeys((one["question"], one["dataset"]["dataset"]) for one in left):
        own, all_of_it = (
            [one for one in some if (one["question"], one["dataset"]["dataset"]) == (question, dataset)]
            for some in (chosen, among)
        )
        names = sorted({one["encoder"]["name"] for one in own})
        absent = sorted({one["encoder"]["name"] for one in all_of_it} - set(names))
        words = next(filter(None, (settings_said({**one, "C": None}, all_of_it) for one in own)), "the first in words")
        said.append(f"{question} on {dataset}: of {words}" + (f"; without {', '.join(absent)}" if absent else ""))
    return f" Of several settings: {'; '.join(said)}."


def _main(result: Result) -> float:
    return float(result["figures"][_MAIN[result["question"]]]["value"])
