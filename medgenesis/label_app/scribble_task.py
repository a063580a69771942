"""Scribbles in MONAI Label's viewers: a person marks what is and what is not the structure, graph cut does the rest."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from medgenesis.data.pipeline import preprocessing
from medgenesis.errors import VolumeError
from medgenesis.io.volume_reader import LoadVolumed
from medgenesis.label_app.infer_task import Models, study_of
from medgenesis.label_app.labels import as_stored
from medgenesis.label_app.results import extension_of, write_result
from medgenesis.label_app.scribbles import refine, scribble_values
from medgenesis.label_app.settings import AppSettings


class ScribbleTask(InferTask):
    """Cut one structure out by scribbles.

    Where there is a model and the request names the structure (`label`), the model's probabilities are what is
    corrected; else the intensities below the scribbles decide. Nothing is resampled: the result is on the study's grid.

    Args:
        settings: of the app.
        models: gives the network.
    """

    def __init__(self, settings: AppSettings, models: Models) -> None:
        super().__init__(
            InferType.SCRIBBLES,
            dict(settings.classes),
            settings.dimension,
            "Correct or cut out a structure by scribbles",
        )
        self.settings, self.models = settings, models

    def is_valid(self) -> bool:
        """Always: no model is needed."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The file of the result, 1 in the structure, and its name.

        Raises:
            VolumeError: no scribbles, or on another grid.
        """
        image, scribbles = study_of(request), request.get("label")
        if not scribbles:
            raise VolumeError(
                "scribbles: must come with the request; found none. Scribble in the structure and beside it."
            )
        with as_stored(image, scribbles, "scribbles") as drawn:
            pair = {"image": image, "label": str(drawn)}
            preprocessing(label_keys=["label"], intensity=None)(pair)  # one grid, or an error
            loaded = LoadVolumed(("image", "label"), label_keys=("label",))(pair)
            values = _on_grid_of(loaded["image"], loaded["label"])
        first, second = scribble_values(request.get("label_info"), len(self.settings.labels))
        name = str(request.get("selected_label") or request.get("structure") or "")
        volume = loaded["image"][0].numpy(force=True)
        cut = refine(volume, values == first, values == second, self._probability(image, name), request.get("roi"))
        result = MetaTensor(cut[None].astype(np.uint8), affine=loaded["image"].affine)
        path = write_result(result, {name or "structure": 1}, extension_of(image, request.get("result_extension")))
        return path, {"label_names": {name or "structure": 1}, "voxels": int(cut.sum())}

    def _probability(self, image: str, name: str) -> np.ndarray | None:
        own = {one.casefold(): value for one, value in self.settings.classes.items()}
        value = own.get(name.strip().casefold())
        if value is None or self.models.history.current() is None:
            return None
        return self.models.current().probabilities(image)[value].numpy(force=True)


def _on_grid_of(image: MetaTensor, label: MetaTensor) -> np.ndarray:
    """Values of a label map in the axes of its image: viewers may store them the other way round."""
    values = label[0].numpy(force=True)
    if values.ndim == 2:
        return values
    change = np.rint(np.linalg.inv(np.asarray(image.affine)) @ np.asarray(label.affine)).astype(int)
    axes = [int(np.abs(change[axis, :3]).argmax()) for axis in range(3)]
    flipped = [axis for axis in range(3) if change[axis, axes[axis]] < 0]
    return np.flip(values.transpose(axes), flipped)
