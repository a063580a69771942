"""Answers of a network must be finite: NaN would be sorted as the best score, and be the argmax as the first class."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name


class CheckAnswersd(MapTransform):
    """Refuse answers with NaN or infinity, before an argmax hides them.

    Args:
        keys: of the answers, (classes, *spatial).
        image_key: of the image, whose file the error names.

    Raises:
        VolumeError: there are some.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        for key in self.key_iterator(data):
            check_answers(data[key], volume_name(data[self.image_key]))
        return dict(data)


def check_answers(answers: Tensor | np.ndarray, name: str) -> None:
    """Raise VolumeError, with the name of the image, where one of its answers is NaN or infinite."""
    values = torch.as_tensor(answers)
    least, most = map(float, values.aminmax()) if values.numel() else (0.0, 0.0)  # no copy: scores are gigabytes
    if not (math.isfinite(least) and math.isfinite(most)):
        raise VolumeError(
            f"{name}: answers must be finite; found {least if math.isfinite(most) else most}. Check the weights and "
            "the image, or leave it out."
        )
