"""The choice of the next study, for MONAI Label: by coverage, typicality, or by a score of each study."""

import logging
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from medgenesis.errors import DOMAIN_ERRORS, CheckpointError, cause_of
from medgenesis.label_app.choice import farthest, most_typical
from medgenesis.label_app.features import StudyFeatures
from medgenesis.label_app.infer_task import Models
from medgenesis.label_app.restoration import Restoration
from medgenesis.storage.fingerprints import record_fingerprint

_AT_ONCE = 10  # studies that are scored while somebody waits

logger = logging.getLogger(__name__)


class ByFeatures(Strategy):
    """Choose by the features of the self-supervised encoder; computed at the first request, then kept.

    Args:
        features: of the studies.
        typical: the most typical of what is not covered; else the farthest.
    """

    def __init__(self, features: StudyFeatures, typical: bool = False) -> None:
        kind = "typical first: the most common kind of study without a label" if typical else "unlike what is labelled"
        super().__init__(f"By self-supervised features, {kind}")
        self.features, self.choose = features, most_typical if typical else farthest

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any] | None:
        """The next study, `{"id": …, "weight": …}`; None where all are labelled."""
        open_ones = datastore.get_unlabeled_images()
        vectors = self.features.of(datastore.list_images(), datastore.get_image_uri)
        if not set(open_ones) & set(vectors):
            return {"id": open_ones[0]} if open_ones else None
        name, weight = self.choose(vectors, set(vectors) - set(open_ones))
        return {"id": name, "weight": weight}


class StudyScore(ScoringMethod):
    """A number for each study without a label, kept with the study until what it was computed with, or the study's
    file, is another.

    A score has a `name`, `made_with` (what decides it; None: it cannot be computed yet) and `score_of` a file.
    """

    name = ""

    def made_with(self) -> str | None:
        raise NotImplementedError

    def score_of(self, image: str) -> float:
        raise NotImplementedError

    def check(self) -> None:
        """Say why there can be no score yet.

        Raises:
            CheckpointError: with what to do first.
        """

    def __call__(self, request: Mapping[str, Any], datastore: Any, most: int | None = None) -> dict[str, float]:
        """Score the studies without a label (at most so many that have no score yet); name -> score."""
        made_with, scores, new = self.made_with(), {}, 0
        if made_with is None:
            return {}
        for name in datastore.get_unlabeled_images():
            kept = datastore.get_image_info(name).get(self.name) or {}
            full = most is not None and new >= most
            if full and kept.get("made_with") != made_with:  # not fetched for nothing
                continue
            try:
                image = datastore.get_image_uri(name)
                file = record_fingerprint({"image": image})  # another one whenever the file is replaced
                if (kept.get("made_with"), kept.get("file")) != (made_with, file):
                    if full:
                        continue
                    new += 1
                    kept = {"made_with": made_with, "file": file, "score": self.score_of(image)}
                    datastore.update_image_info(name, {self.name: kept})
            except (*DOMAIN_ERRORS, OSError, RuntimeError) as error:
                logger.warning("no score: %s", cause_of(error))
                continue
            scores[name] = kept["score"]
        return scores


class FlipDisagreement(StudyScore):
    """How much of a segmentation changes when the study is shown mirrored: 1 minus the Dice of the two answers.

    No labels and no dropout are needed. A study is scored again when there is another model.
    """

    name = "flip_disagreement"

    def __init__(self, models: Models) -> None:
        super().__init__("Disagreement of the model's answers on a study and on its mirror image (needs a model)")
        self.models = models

    def made_with(self) -> str | None:
        weights = self.models.history.current()
        return None if weights is None else f"{weights} {weights.stat().st_mtime_ns}"

    def score_of(self, image: str) -> float:
        return self.models.current().flip_disagreement(image)

    def check(self) -> None:
        if self.models.history.current() is None:
            raise CheckpointError(
                "uncertain: must have a model that can be in doubt; found none yet. Choose `coverage` or `typical` for "
                "the first studies."
            )


class Strangeness(StudyScore):
    """How badly the self-supervised network restores a study that was corrupted as in its pre-training.

    Neither labels nor a model are needed; the same corruption every time.
    """

    name = "restoration_error"

    def __init__(self, restoration: Restoration) -> None:
        super().__init__("Error of the self-supervised network when it restores the corrupted study")
        self.restoration = restoration

    def made_with(self) -> str | None:
        return self.restoration.made_with

    def score_of(self, image: str) -> float:
        return self.restoration.error_of(image)


class ByScore(Strategy):
    """The study with the highest score."""

    def __init__(self, scoring: StudyScore) -> None:
        super().__init__(f"The highest of: {scoring.description}")
        self.scoring = scoring

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any] | None:
        """The next study; None where all are labelled.

        Raises:
            CheckpointError: nothing can be scored yet.
        """
        self.scoring.check()
        scores = self.scoring(request, datastore, _AT_ONCE)
        if not scores:
            open_ones = datastore.get_unlabeled_images()
            return {"id": open_ones[0]} if open_ones else None
        name = max(sorted(scores), key=lambda one: scores[one])
        return {"id": name, "weight": scores[name]}
