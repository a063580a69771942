"""Answers of a network must be finite: NaN would be sorted as the best score, and be the argmax as the first class."""

from collections.abc import Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from medgenesis.data.checks import check_answers
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
