"""The study's questions on classes: encoders times data sets, features once, results side by side."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.storage.tables import write_table
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import Features, study_features
from medgenesis.transfer.geometry import Geometry
from medgenesis.transfer.protocols.few_shot import FewShot, few_shot, weighted_accuracy
from medgenesis.transfer.protocols.knn import Knn, knn
from medgenesis.transfer.protocols.linear import Linear, linear
from medgenesis.transfer.results import load_arrays, load_result, save_result
from medgenesis.transfer.scores import Judge, paired_difference
from medgenesis.transfer.study_set import StudySet

logger = logging.getLogger(__name__)

PAIRS = "comparisons.csv"
QUESTIONS = ("few-shot", "linear", "knn", "finetune", "propagate")  # whose answers are judged by record
_FILES = ("one_file", "other_file")
_CASES = "labelled test cases"  # of propagate: of those that one of two encoders lacks both are judged without
Settings = FewShot | Linear | Knn
Answer = tuple[dict[str, dict[str, float]], dict[str, np.ndarray], dict[str, Any]]  # figures, by record, more


def ask(
    encoder: Encoder,
    study_set: StudySet,
    settings: Settings,
    folder: str | Path,
    *,
    intensity: Any = None,
    batch_size: int = 32,
    compat: bool = False,
) -> dict[str, Any]:
    """Ask one encoder one question on one data set, and keep the result.

    Args:
        encoder: frozen.
        study_set: with classes.
        settings: `FewShot`, `Linear` or `Knn`; they say which question.
        folder: of the study: features, results, tables.
        intensity: see `ImageReading`.
        batch_size: inputs at a time.
        compat: the study's geometry of this question, of 2D encoders; its own settings are those of `settings`.

    Returns:
        The result, as `load_results` gives it.
    """
    question, answer = _QUESTIONS[type(settings)]
    if compat and question == "few-shot" and encoder.dims == 2:
        encoder = replace(encoder, geometry=Geometry("episode"))
    if isinstance(settings, Knn) and encoder.told.get("control") in ("handmade", "table"):
        settings = replace(settings, distance="standardised")
    found = study_features(encoder, study_set, Path(folder) / "features", intensity=intensity, batch_size=batch_size)
    figures, arrays, more = answer(found, study_set, settings)
    told = {
        "name": encoder.name,
        **encoder.told,
        **{key: value for key, value in found.told.items() if "data" not in key},
    }
    arrays = {"patients": study_set.patients, **arrays}
    path = save_result(
        folder, question, told, study_set.told(), asdict(settings), figures, arrays, compat=compat, **more
    )
    said = ", ".join(f"{name} {figure['value']:.4f}" for name, figure in figures.items())
    logger.info("%s, %s on %s: %s", question, encoder.name, study_set.name, said)
    return load_result(path)


def compare(
    results: Sequence[Mapping[str, Any]], folder: str | Path, *, draws: int = 1000, seed: int = 0
) -> list[dict]:
    """Paired tests between all encoders of a question and a data set, written to `comparisons.csv`.

    Args:
        results: of several encoders; only those of one question, data set and settings are compared with each other,
            on the records that both were asked: a warning where others are left out.
        folder: of the study.
        draws: of the bootstrap over patients.
        seed: of the draws.

    Returns:
        The rows: `question`, `dataset`, `one`, `other`, `measure`, `difference`, `low`, `high`, `p` (two-sided, not
        corrected for their number), and the files of both results, `one_file` and `other_file`, below the folder.
    """
    rows = []
    for one, other in combinations([one for one in results if one["question"] in QUESTIONS], 2):
        alike = all(one.get(key) == other.get(key) for key in ("question", "compat"))
        alike = alike and {**one["dataset"], _CASES: None} == {**other["dataset"], _CASES: None}
        alike = alike and {**one["settings"], "distance": None} == {**other["settings"], "distance": None}
        if not alike or one["encoder"]["name"] == other["encoder"]["name"]:
            continue
        arrays = [load_arrays(result) for result in (one, other)]
        common, *places = np.intersect1d(arrays[0]["rows"], arrays[1]["rows"], return_indices=True)
        counts = [len(own["rows"]) for own in arrays]
        if len(common) < max(counts):
            said = (one["question"], one["dataset"]["dataset"], one["encoder"]["name"], other["encoder"]["name"])
            logger.warning("%s on %s: %s and %s are compared on %d records of %d and %d", *said, len(common), *counts)
        if not len(common):
            continue
        judges = [_judge(one["question"], own, place) for own, place in zip(arrays, places, strict=True)]
        patients = arrays[0]["patients"][common]
        for measure, figure in paired_difference(*judges, patients, draws=draws, seed=seed).items():
            names = {"one": one["encoder"]["name"], "other": other["encoder"]["name"]}
            row = {"question": one["question"], "dataset": one["dataset"]["dataset"], **names, "measure": measure}
            row |= {"difference": figure["value"], **{key: figure[key] for key in ("low", "high", "p")}}
            rows.append({**row, **dict(zip(_FILES, (_file(one, folder), _file(other, folder)), strict=True))})
    columns = ("question", "dataset", "one", "other", "measure", "difference", "low", "high", "p", *_FILES)
    write_table(Path(folder) / PAIRS, rows, columns)
    return rows


def _file(result: Mapping[str, Any], folder: str | Path) -> str:
    return result["path"].relative_to(folder).as_posix()


def _judge(question: str, arrays: Mapping[str, np.ndarray], places: np.ndarray) -> Callable:
    """Of the records at these places of `rows`."""
    if question == "few-shot":
        used = arrays["rows"][places]
        return weighted_accuracy(arrays["correct"][used], arrays["asked"][used])
    if question == "propagate":
        return _mean_dice(arrays["values"][places])
    return Judge(arrays["truth"][places], arrays["scores"][places])


def _mean_dice(values: np.ndarray) -> Callable:
    def judge(weights: np.ndarray | None = None) -> dict[str, float]:
        return {"dice": float(np.average(values, weights=weights))}

    return judge


def _few_shot(found: Features, study_set: StudySet, settings: FewShot) -> Answer:
    result = few_shot(found.vectors, study_set.labels, study_set.patients, settings)
    arrays = {"correct": result.correct, "asked": result.asked, "rows": np.flatnonzero(result.asked)}
    left_out = [study_set.class_names[label] for label in result.left_out]
    if left_out:
        logger.warning("%s: classes left out, too small: %s", study_set.name, ", ".join(left_out))
    return result.figures, {**arrays, "accuracies": result.accuracies}, {"classes left out": left_out}


def _linear(found: Features, study_set: StudySet, settings: Linear) -> Answer:
    result = linear(found.vectors, study_set.labels, study_set.sections, study_set.patients, settings)
    arrays = {"rows": result.rows, "truth": study_set.labels[result.rows], "scores": result.probabilities}
    return result.figures, arrays, {"C": result.c, "converged": result.converged, "tried": result.tried}


def _knn(found: Features, study_set: StudySet, settings: Knn) -> Answer:
    figures, rows, scores = knn(found.vectors, study_set.labels, study_set.sections, study_set.patients, settings)
    return figures, {"rows": rows, "truth": study_set.labels[rows], "scores": scores}, {}


_QUESTIONS: dict[type, tuple[str, Callable[..., Answer]]] = {
    FewShot: ("few-shot", _few_shot),
    Linear: ("linear", _linear),
    Knn: ("knn", _knn),
}
