"""Clicks in MONAI Label's viewers: OHIF's point prompts, 3D Slicer's interactive models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monailabel.interfaces.tasks.infer_v2 import InferType

from medgenesis.errors import VolumeError
from medgenesis.io.volume_reader import LoadVolumed
from medgenesis.label_app.clicks import apply_clicks, obey
from medgenesis.label_app.infer_task import ModelTask
from medgenesis.label_app.segmenter import Segmenter
from medgenesis.label_app.settings import BACKGROUND


class ClickTask(ModelTask):
    """Correct the current model's answer by clicks in structures and in the background: lists of voxels, under the
    names of the classes.

    A network that was trained with clicks (overlay `guided`) answers anew, with them; that of another model is asked
    once, and each click changes its neighbourhood. A clicked voxel has its class in any case.
    """

    kind = InferType.DEEPEDIT
    words = "The model's answer, corrected by clicks in what it missed or found too much"

    def answer(self, segmenter: Segmenter, image: str, request: Mapping[str, Any]) -> MetaTensor:
        clicks = clicks_of(request, self.settings.classes)
        if segmenter.guided:
            found = segmenter.probabilities(image, clicks)
            answer = obey(found.argmax(0).numpy(force=True), clicks)
        else:
            found = segmenter.probabilities(image)
            volume = LoadVolumed(("image",))({"image": image})["image"][0].numpy(force=True)
            spacing = np.linalg.norm(np.asarray(found.affine)[: volume.ndim, : volume.ndim], axis=0)
            answer = apply_clicks(volume, found.numpy(force=True), clicks, spacing)
        return MetaTensor(answer[None].astype(np.uint8), affine=found.affine)


def clicks_of(request: Mapping[str, Any], classes: Mapping[str, int]) -> dict[int, list[list[float]]]:
    """Value of the class -> voxels, of a viewer's request.

    Raises:
        VolumeError: something else stands under the name of a class.
    """
    found = {}
    for name, value in {BACKGROUND: 0, **classes}.items():
        places = request.get(name) or []
        try:
            found[value] = [[float(one) for one in place] for place in places]
        except (TypeError, ValueError):
            raise VolumeError(
                f"{name}: clicks must be lists of voxels, [[x, y, z], …]; found {str(places)[:60]}. Click again."
            ) from None
    return found
