"""Segmentation of a study for a viewer, by the model that the trainings have made so far."""

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from medgenesis.errors import CheckpointError, VolumeError
from medgenesis.label_app.devices import device_of
from medgenesis.label_app.dicom_seg import DICOM_SEG, series_files, write_dicom_seg
from medgenesis.label_app.history import History
from medgenesis.label_app.results import described, extension_of, write_result
from medgenesis.label_app.segmenter import Segmenter
from medgenesis.label_app.settings import AppSettings

logger = logging.getLogger(__name__)


class Models:
    """The network of the current model, loaded once and again when there is a better one."""

    def __init__(self, settings: AppSettings, history: History) -> None:
        self.settings, self.history = settings, history
        self._lock = threading.Lock()
        self._loaded: tuple[tuple[str, int, str | None], Segmenter] | None = None

    def current(self, device: str | None = None) -> Segmenter:
        """The network.

        Raises:
            CheckpointError: nothing was trained so far.
            ValueError: there is no such device.
        """
        device = device_of(device)
        weights = self.history.current()
        if weights is None:
            others = "".join(f"; training {one} is of {own}" for one, own in self.history.passed_over().items())
            raise CheckpointError(
                f"{self.settings.name}: must be trained before it segments; found no model of "
                f"{', '.join(self.settings.labels)} yet{others}. Draw and save labels of two to five studies, then "
                f"train{', or start with the --labels of a training' if others else ''}."
            )
        with self._lock:
            key = (str(weights), weights.stat().st_mtime_ns, device)
            if self._loaded is None or self._loaded[0] != key:
                options = {"device": f"$torch.device({device!r})"} if device else None
                self._loaded = key, Segmenter(self.settings, weights, options)
                logger.info("segmenting with %s", weights)
            return self._loaded[1]


class ModelTask(InferTask):
    """Answer by the current model.

    The result lies on the study's own grid, in whole numbers; what is asked for by `result_extension` decides the
    format.

    Args:
        settings: of the app.
        models: gives the network.
    """

    kind: InferType
    words: str

    def __init__(self, settings: AppSettings, models: Models) -> None:
        said = self.words.format(name=settings.name)
        super().__init__(self.kind, dict(settings.classes), settings.dimension, said)
        self.settings, self.models = settings, models

    @abstractmethod
    def answer(self, segmenter: Segmenter, image: str, request: Mapping[str, Any]) -> MetaTensor:
        """The label map of a study's file."""

    def is_valid(self) -> bool:
        """Whether there is a model: only then do viewers show it."""
        return self.models.history.current() is not None

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The file of the result for `request["image"]`, and what is in it.

        Raises:
            VolumeError, CheckpointError and their like: with what the user can do.
        """
        began, image = time.perf_counter(), study_of(request)
        found = self.answer(self.models.current(request.get("device")), image, request)
        path, said = result_of(found, self.settings, image, request.get("result_extension"))
        return path, {**said, "latencies": {"total": round(time.perf_counter() - began, 2)}}


class SegmentTask(ModelTask):
    """Segment a study."""

    kind = InferType.SEGMENTATION
    words = "{name}: fine-tuned from self-supervised weights on the labels saved here"

    def answer(self, segmenter: Segmenter, image: str, request: Mapping[str, Any]) -> MetaTensor:
        return segmenter.label_map(image)

    def get_path(self, validate: bool = True) -> str | None:
        """Weights of the model."""
        current = self.models.history.current()
        return None if current is None else str(current)


def result_of(found: MetaTensor, settings: AppSettings, image: str, asked: str | None) -> tuple[str, dict[str, Any]]:
    """The file of a label map, in the format that is asked for or as the study is stored, and what is in it."""
    said, extension = described(found, settings.classes), extension_of(image, asked)
    if extension != DICOM_SEG:
        return write_result(found, settings.classes, extension), said
    series_files(image)  # before anything is written
    path = write_result(found, settings.classes, ".nii.gz")
    return write_dicom_seg(path, image, said["label_names"], settings.name), said


def study_of(request: Mapping[str, Any]) -> str:
    """The file of the study that a request names.

    Raises:
        VolumeError: it is none of the server's.
    """
    image = request.get("image")
    if not image or not Path(str(image)).exists():
        raise no_study(image)
    return str(image)


def no_study(asked: Any) -> VolumeError:
    """What is said of a study that is none of the server's."""
    return VolumeError(
        f"image: must be a study of the server; found {asked!r}. Ask for the next sample, or add the file to the "
        "folder of the studies and start the app again."
    )
