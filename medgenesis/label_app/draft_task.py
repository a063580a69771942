"""The draft in MONAI Label's viewers."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from medgenesis.errors import DatalistError
from medgenesis.label_app.draft import draft_segmenter, without_draft
from medgenesis.label_app.infer_task import result_of, study_of
from medgenesis.label_app.labelled import labelled_studies, state_of_labels
from medgenesis.label_app.segmenter import Segmenter
from medgenesis.label_app.settings import AppSettings

_AGAIN = 60.0  # seconds after which a draft that lacks a study is made again

logger = logging.getLogger(__name__)


class DraftTask(InferTask):
    """Offer a draft in viewers, as soon as one study is labelled; a trained model is better, and said to be.

    Args:
        settings: of the app.
        app: its folder.
        datastore: gives MONAI Label's, when it is there.
    """

    def __init__(self, settings: AppSettings, app: str | Path, datastore: Callable[[], Any]) -> None:
        super().__init__(
            InferType.SEGMENTATION,
            dict(settings.classes),
            settings.dimension,
            "A draft, not a trained model: the labels saved so far, carried over by self-supervised features",
        )
        self.settings, self.folder, self.datastore = settings, Path(app) / "draft", datastore
        self._lock = threading.Lock()
        self._made: tuple[tuple, Segmenter, int, float] | None = None  # labels, draft, studies, valid until

    @cached_property
    def unknown(self) -> str | None:
        """The kind of the network, where its maps are not known: then there is no draft."""
        return without_draft(self.settings)

    def is_valid(self) -> bool:
        """Whether anything is labelled, and a draft can be made of the network: only then do viewers show it."""
        return self.unknown is None and bool(self.datastore().get_labeled_images())

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment `request["image"]`; the file of the result, and what is in it.

        Raises:
            DatalistError: no label that can be used.
        """
        began, image = time.perf_counter(), study_of(request)
        segmenter, count = self._current()
        found = segmenter.label_map(image)
        path, said = result_of(found, self.settings, image, request.get("result_extension"))
        said["draft"] = f"a draft from {count} labelled studies, by features alone: correct it before you save it"
        return path, {**said, "latencies": {"total": round(time.perf_counter() - began, 2)}}

    def _current(self) -> tuple[Segmenter, int]:
        with self._lock:
            key = state_of_labels(self.datastore())
            if self._made is not None and self._made[0] == key and time.monotonic() < self._made[3]:
                return self._made[1], self._made[2]
            labelled, left_out = labelled_studies(self.datastore(), self.settings.classes, self.folder)
            segmenter, count, refused = draft_segmenter(self.settings, labelled)
            left_out |= refused
            if segmenter is None:
                why = "".join(f"; {name}: {reason}" for name, reason in left_out.items())
                raise DatalistError(
                    f"draft: must have a labelled study to carry over; found none that can be used{why}. Draw and save "
                    "one."
                )
            for name, reason in left_out.items():
                logger.warning("%s: left out of the draft (%s)", name, reason)
            again = time.monotonic() + _AGAIN if left_out else math.inf  # a series may come the next time
            self._made = key, segmenter, count, again
            logger.info("a draft from %d labelled studies", count)
            return segmenter, count
