"""Fine-tuning as a protocol of the study: all weights of an encoder and a dense layer learn the classes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.statistics.scores import Judge, intervals
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.protocols.finetune_runs import WEIGHTS, FinetuneRuns
from medgenesis.transfer.protocols.finetune_settings import Finetune, check_settings, search_grid
from medgenesis.transfer.protocols.study_rows import split_rows
from medgenesis.transfer.protocols.training_data import TrainingData
from medgenesis.transfer.study_set import StudySet


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """What was found.

    Attributes:
        figures: measures on test, with intervals over patients.
        rows: of the test records, (T,).
        probabilities: of the test records, (T, classes).
        training: of the run that was tested: `rate`, `weight_decay`, the `step` of its weights, their `score` on
            validation, the `steps` done, `ended_early`, and the `curve`.
        tried: of a search, the same of each run, but for the curve.
    """

    figures: dict[str, dict[str, float]]
    rows: np.ndarray
    probabilities: np.ndarray
    training: dict[str, Any]
    tried: list[dict[str, Any]]


def finetune(
    encoder: Encoder,
    study_set: StudySet,
    settings: Finetune,
    folder: str | Path,
    *,
    intensity: Any = None,
    cache: str = "disk",
    cache_dir: str | Path | None = None,
    workers: int = 0,
) -> FinetuneResult:
    """Fine-tune a copy of an encoder on training, choose by validation, judge on test.

    A run that was stopped goes on from its last look at the validation, with the result of an uninterrupted one; a
    finished one is not repeated. `folder` receives `classifier.pt` (the weights that are tested), `curve.csv`,
    `training.json` and `tensorboard/`, of a search in a folder a run.

    Args:
        encoder: whose network has weights; it stays as it is.
        study_set: with classes.
        settings: of the training.
        folder: of these settings, encoder and data alone.
        intensity: see `ImageReading`.
        cache: of the images: "disk" (memory-mapped), "compressed", "memory" or "none".
        cache_dir: of the disk cache; None: in `folder`.
        workers: processes that prepare images; the result is the same with any number.

    Raises:
        ValueError: settings out of their range, an encoder without weights, or a validation that the metric cannot
            judge.
        VolumeError: an image that cannot be used, with its name.
        TrainingError: the loss is not finite.

    References:
        Anton et al., J. Imaging 8(12):320, 2022, "many-shot finetune": 5000 steps of 64, rate 0.01, weight decay 1e-8,
        looks every 200 steps, patience 3.
    """
    check_settings(encoder, settings)
    rows = split_rows(
        study_set.labels, study_set.sections, study_set.patients, by_image=settings.compat, seed=settings.seed
    )
    train, valid, test = rows
    if settings.metric == "auc" and len(np.unique(study_set.labels[valid])) < 2:
        raise ValueError(
            f"metric: auc must have two classes or more in validation; found {len(valid)} records of one. Choose "
            "accuracy, or give a list with all classes in validation."
        )
    data = TrainingData(encoder, study_set, intensity, cache, Path(cache_dir or Path(folder) / "cache"), workers)
    runs = FinetuneRuns(encoder, study_set, settings, data, Path(folder))
    pair, tried = (settings.rate, settings.weight_decay), []
    patience = None if settings.compat else settings.patience
    for rate, decay in search_grid(settings.search) if settings.search else ():
        own = replace(settings, rate=rate, weight_decay=decay, patience=patience)
        name = f"search/rate_{rate:.3g}_decay_{decay:.3g}"
        tried.append({**runs.trained(own, name, train, valid), "name": name})
    if tried:
        training = max(tried, key=lambda one: one["score"])  # the first of equal ones
        pair = (training["rate"], training["weight_decay"])
    if not tried or patience is None:  # else it was trained already
        own = replace(settings, rate=pair[0], weight_decay=pair[1])
        both = settings.patience is None
        training = runs.trained(own, "", np.concatenate([train, valid]) if both else train, None if both else valid)
    probabilities = runs.answers(Path(folder) / training.get("name", "") / WEIGHTS, test)
    figures = intervals(Judge(study_set.labels[test], probabilities), study_set.patients[test], seed=settings.seed)
    tried = [{name: value for name, value in one.items() if name not in ("curve", "name")} for one in tried]
    return FinetuneResult(figures, test, probabilities, training, tried)
