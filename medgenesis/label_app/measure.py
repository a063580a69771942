"""Dice of a model on labelled studies, on their own grids: the same for every model, whatever trained it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medgenesis.data.orientation import ReorientVolumesd
from medgenesis.data.pipeline import preprocessing
from medgenesis.label_app.labelled import Labelled
from medgenesis.label_app.segmenter import Segmenter
from medgenesis.label_app.settings import AppSettings
from medgenesis.losses import hard_dice


def mean_dice(settings: AppSettings, weights: str | Path, studies: Sequence[Labelled]) -> float:
    """Mean over studies, and over the classes that are drawn in each, of the Dice."""
    segmenter = Segmenter(settings, weights)
    read = preprocessing(label_keys=["label"], intensity=None)
    turn = next(step for step in read.transforms if isinstance(step, ReorientVolumesd))
    found = []
    for one in studies:
        truth = read({"image": one.image, "label": one.label})["label"].numpy(force=True)
        answer = turn({"image": segmenter.label_map(one.image)})["image"].numpy(force=True)
        for value in np.unique(truth[truth > 0]):
            found.append(hard_dice(truth == value, answer == value))
    return float(np.mean(found))
