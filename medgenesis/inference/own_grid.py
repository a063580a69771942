"""Answers of a network on the grid of the image as it was stored, turned as the label maps beside it are."""

from collections.abc import Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import Compose, Invertd, MapTransform

from medgenesis.data.nnunet.preprocessing import OrderAxesd
from medgenesis.data.orientation import ReorientVolumesd


class OnOwnGridd(MapTransform):
    """Bring answers back to the spacing and size of their image, as `inference` does, and orient them as in training.

    Label maps that are prepared with `preprocessing(resample_labels=False)` lie on the same grid.

    Args:
        keys: of what lies on the grid of the network, `MetaTensor` (C, *spatial): logits, the image itself.
        transform: the preprocessing, as from `medgenesis.data.preprocessing`.
        image_key: of the image.

    Raises:
        ValueError: a preprocessing that does not orient images.
    """

    def __init__(self, keys: KeysCollection, transform: Compose, image_key: str = "image") -> None:
        super().__init__(keys)
        self.invert = Invertd(self.keys, transform, orig_keys=image_key, nearest_interp=False, to_tensor=True)
        self.reorient = self._as_in(transform)

    def _as_in(self, transform: Compose) -> MapTransform:
        for step in transform.transforms:
            if isinstance(step, OrderAxesd):
                return OrderAxesd(self.keys, step.axes)
            if isinstance(step, ReorientVolumesd):
                rule = step.ornt_transform
                return ReorientVolumesd(self.keys, axcodes=rule.axcodes, labels=rule.labels, allow_missing_keys=True)
        raise ValueError(
            "transform: must orient images by ReorientVolumesd or OrderAxesd; found "
            f"{', '.join(type(step).__name__ for step in transform.transforms)}. Take `medgenesis.data.preprocessing` "
            "or `nnunet_preprocessing`, or add one of the two."
        )

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.reorient(self.invert(data)))
