"""Which patients to label first: chosen by the features of a pretext's weights, instead of at random."""

from collections.abc import Callable

import numpy as np
from torch import nn

from benchmarks.evidence.sets import Case, StudySet
from medgenesis.inference.embedding import embed_volume
from medgenesis.label_app.choice import farthest, most_typical

_LEAST = 8  # voxels of a side that the encoder takes: thin crops of nodules keep some of the border
BY = "models_genesis"  # whose features choose, and whose weights the labels are then for
STRATEGIES: dict[str, Callable] = {"typical": most_typical, "coverage": farthest}
CHOSEN = {f"{BY}_{name}": name for name in STRATEGIES}  # method in the rows -> how its patients are chosen


def chosen_cases(study: StudySet, network: nn.Module, strategy: str, labels: int) -> list[Case]:
    """The training cases of so many patients, in the order in which the strategy of the label app asks for them.

    Args:
        study: the set; its labels are not looked at.
        network: with the weights of `BY`, in evaluation mode; the mean of its last encoder map tells images apart.
        strategy: of `STRATEGIES`.
        labels: patients.
    """
    vectors: dict[str, list[np.ndarray]] = {}
    for case in study.cases["training"]:
        sides = [
            (whole, min(whole, max(side, _LEAST))) for whole, side in zip(case.image.shape[1:], case.sides, strict=True)
        ]
        window = tuple(slice((whole - side) // 2, (whole - side) // 2 + side) for whole, side in sides)
        image = case.image[(slice(None), *window)]
        vectors.setdefault(f"{case.patient:06d}", []).append(embed_volume(network, image, image.shape[1:]))
    means = {name: np.mean(some, axis=0) for name, some in vectors.items()}
    names: list[str] = []
    for _ in range(labels):
        names.append(STRATEGIES[strategy](means, names)[0])
    return [case for name in names for case in study.cases["training"] if case.patient == int(name)]
