"""The study's questions on classes: encoders times data sets, features once, results side by side."""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import Features, study_features
from medgenesis.transfer.geometry import Geometry
from medgenesis.transfer.protocols.few_shot import FewShot, few_shot
from medgenesis.transfer.protocols.knn import Knn, knn
from medgenesis.transfer.protocols.linear import Linear, linear
from medgenesis.transfer.published_tables import published_metric
from medgenesis.transfer.results import load_result, save_result
from medgenesis.transfer.study_set import StudySet

logger = logging.getLogger(__name__)

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
        settings: `FewShot`, `Linear` or `Knn`; they say which question. Of `Linear.compat` the metric that chooses is
            the study's, whatever they say.
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
    if isinstance(settings, Linear) and settings.compat:
        settings = replace(settings, metric=published_metric(study_set.name))
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
