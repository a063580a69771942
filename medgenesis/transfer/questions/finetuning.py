"""Fine-tuning as a question of the study: its result, and the folder of its training beside it."""

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.protocols.finetune import finetune
from medgenesis.transfer.protocols.finetune_settings import Finetune
from medgenesis.transfer.published_tables import published_metric
from medgenesis.transfer.results import load_result, result_path, save_result
from medgenesis.transfer.study_set import StudySet

logger = logging.getLogger(__name__)


def ask_finetuning(
    encoder: Encoder,
    study_set: StudySet,
    settings: Finetune,
    folder: str | Path,
    *,
    intensity: Any = None,
    cache: str = "disk",
    workers: int = 0,
) -> dict[str, Any]:
    """Fine-tune one encoder on one data set, and keep the result; the training is in `OUT/finetune/`.

    Args:
        encoder: with weights.
        study_set: with classes.
        settings: of the training; of `compat` the metric is the study's, whatever they say.
        folder: of the study.
        intensity: see `ImageReading`.
        cache: of the images, `OUT/cache` where it is "disk" or "compressed".
        workers: processes that prepare images.

    Returns:
        The result, as `load_results` gives it.
    """
    if settings.compat:
        settings = replace(settings, metric=published_metric(study_set.name))
    told = encoder.described(intensity)
    path = result_path(folder, "finetune", told, study_set.told(), asdict(settings))
    place = Path(folder) / "finetune" / path.stem
    options = {"intensity": intensity, "cache": cache, "cache_dir": Path(folder) / "cache", "workers": workers}
    result = finetune(encoder, study_set, settings, place, **options)
    truth = study_set.labels[result.rows]
    if len(np.unique(truth)) < 2:
        logger.warning("%s: test has one class alone; there is no AUC", study_set.name)
    arrays = {"patients": study_set.patients, "rows": result.rows, "truth": truth, "scores": result.probabilities}
    more = {"compat": settings.compat, "training": result.training, "tried": result.tried}
    save_result(folder, "finetune", told, study_set.told(), asdict(settings), result.figures, arrays, **more)
    said = ", ".join(f"{name} {figure['value']:.4f}" for name, figure in result.figures.items())
    logger.info("finetune, %s on %s: %s; weights in %s", encoder.name, study_set.name, said, place)
    return load_result(path)
