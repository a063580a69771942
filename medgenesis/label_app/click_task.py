"""Clicks in MONAI Label's viewers: OHIF's point prompts, 3D Slicer's interactive models."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from medgenesis.errors import VolumeError
from medgenesis.io.volume_reader import LoadVolumed
from medgenesis.label_app.clicks import apply_clicks
from medgenesis.label_app.infer_task import Models, result_of, study_of
from medgenesis.label_app.settings import AppSettings

BACKGROUND = "background"


class ClickTask(InferTask):
    """Correct the current model's answer by clicks in structures and in the background.

    Args:
        settings: of the app.
        models: gives the network.
    """

    def __init__(self, settings: AppSettings, models: Models) -> None:
        super().__init__(
            InferType.DEEPEDIT,
            dict(settings.classes),
            settings.dimension,
            "The model's answer, corrected by clicks: each decides its neighbourhood of like brightness",
        )
        self.settings, self.models = settings, models

    def is_valid(self) -> bool:
        """Whether there is a model whose answer can be corrected."""
        return self.models.history.current() is not None

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment `request["image"]`, and correct by `request[NAME]`, lists of voxels; the file and what is in it.

        Raises:
            VolumeError: a click outside of the image, or none that is a voxel.
            CheckpointError: there is no model yet.
        """
        began, image = time.perf_counter(), study_of(request)
        found = self.models.current(request.get("device")).probabilities(image)
        volume = LoadVolumed(("image",))({"image": image})["image"][0].numpy(force=True)
        spacing = np.linalg.norm(np.asarray(found.affine)[: volume.ndim, : volume.ndim], axis=0)
        clicks = clicks_of(request, self.settings.classes)
        answer = apply_clicks(volume, found.numpy(force=True), clicks, spacing)
        label_map = MetaTensor(answer[None].astype(np.uint8), affine=found.affine)
        path, said = result_of(label_map, self.settings, image, request.get("result_extension"))
        return path, {**said, "latencies": {"total": round(time.perf_counter() - began, 2)}}


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
