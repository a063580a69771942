"""The trivial answer: the mean of the labelled patients' label maps, whatever the image shows."""

from collections.abc import Sequence

import numpy as np

from benchmarks.evidence.scores import dice
from benchmarks.evidence.sets import Case
from medgenesis.transfer.protocols.place_answer import place_answer


def dice_of_mean_mask(labelled: Sequence[Case], tested: Sequence[Case], structures: int) -> np.ndarray:
    """Dice of each tested case and structure: each voxel is what it is in most of the labelled cases, grids centred."""
    maps = [case.label[0] for case in labelled]
    answer = place_answer(maps, maps[0].shape, range(structures + 1))
    return np.array([dice(answer, case.label[0], structures) for case in tested])
