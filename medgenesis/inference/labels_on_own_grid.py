"""Label maps on the grid of the image as it was stored, of scores or of labels on the grid of the network."""

from collections.abc import Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, InvertibleTransform, MapTransform

from medgenesis.data.checks import check_answers
from medgenesis.data.nnunet.preprocessing import OrderAxesd
from medgenesis.data.orientation import ReorientVolumesd
from medgenesis.io.naming import volume_name


class LabelsOnOwnGridd(MapTransform):
    """What MONAI's `Invertd` of scores and then argmax give, with less memory: that resamples all classes at once.

    Where the preprocessing only turns axes, labels are turned instead of scores. Else some classes are resampled at a
    time, and the highest so far is kept.

    Args:
        keys: of the answers, `MetaTensor`s: scores (classes, *spatial), or labels (1, *spatial) as of
            `LabelMapInferer`.
        transform: the preprocessing, as from `medgenesis.data.preprocessing`.
        image_key: of the image.
        classes: resampled at a time.

    Raises:
        ValueError: (on call) labels, where the preprocessing resamples: scores are to be resampled before the argmax.
        VolumeError: (on call) scores that are not finite.
    """

    def __init__(self, keys: KeysCollection, transform: Compose, image_key: str = "image", classes: int = 2) -> None:
        super().__init__(keys)
        self.transform, self.image_key, self.classes = transform, image_key, classes
        turning = (ReorientVolumesd, OrderAxesd)
        steps = [step for step in transform.transforms if isinstance(step, InvertibleTransform)]
        self.resamples = not all(isinstance(step, turning) for step in steps)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(data)
        for key in self.key_iterator(found):
            answer = found[key]
            labels = answer if not answer.is_floating_point() else None
            if labels is None:
                check_answers(answer, volume_name(found[self.image_key]))
            elif self.resamples:
                raise ValueError(
                    "pred: must be scores where images are resampled (spacing_mm); found labels. Take MONAI's "
                    "SlidingWindowInferer, or spacing_mm None."
                )
            if labels is None and not self.resamples:
                labels = answer.argmax(dim=0, keepdim=True)
            found[key] = self._best(found, key) if labels is None else self._inverted(found, key, labels, nearest=True)
        return found

    def _best(self, data: dict[str, Any], key: str) -> MetaTensor:
        """Of scores the class of each voxel of the own grid."""
        scores, highest, best, own = data[key], torch.empty(0), torch.empty(0), None
        for first in range(0, len(scores), self.classes):
            own = self._inverted(data, key, scores[first : first + self.classes], nearest=False)
            values, classes = own.as_tensor().max(dim=0, keepdim=True)
            if first == 0:
                highest, best = values, classes
                continue
            higher = values > highest  # of equal ones the first class stays, as argmax has it
            highest[higher] = values[higher]
            best[higher] = classes[higher] + first
        return MetaTensor(best, meta=own.meta, applied_operations=own.applied_operations)

    def _inverted(self, data: dict[str, Any], key: str, answer: torch.Tensor, *, nearest: bool) -> MetaTensor:
        invert = Invertd(key, self.transform, orig_keys=self.image_key, nearest_interp=nearest, to_tensor=True)
        return invert({**data, key: answer})[key]
