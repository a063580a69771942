"""The choice of the next study, for MONAI Label: by coverage, typicality, or where the model contradicts itself."""

import logging
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from medgenesis.errors import DOMAIN_ERRORS, CheckpointError, cause_of
from medgenesis.label_app.choice import farthest, most_typical
from medgenesis.label_app.features import StudyFeatures
from medgenesis.label_app.infer_task import Models

SCORE = "flip_disagreement"
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
        vectors = self.features.of({name: datastore.get_image_uri(name) for name in datastore.list_images()})
        if not set(open_ones) & set(vectors):
            return {"id": open_ones[0]} if open_ones else None
        name, weight = self.choose(vectors, set(vectors) - set(open_ones))
        return {"id": name, "weight": weight}


class FlipDisagreement(ScoringMethod):
    """How much of a segmentation changes when the study is shown mirrored: 1 minus the Dice of the two answers.

    No labels and no dropout are needed. A study is scored again when there is another model.
    """

    def __init__(self, models: Models) -> None:
        super().__init__("Disagreement of the model's answers on a study and on its mirror image")
        self.models = models

    def __call__(self, request: Mapping[str, Any], datastore: Any, most: int | None = None) -> dict[str, float]:
        """Score the studies without a label (at most so many that have no score yet); name -> score."""
        weights = self.models.history.current()
        if weights is None:
            return {}
        made_by, scores, new = f"{weights} {weights.stat().st_mtime_ns}", {}, 0
        for name in datastore.get_unlabeled_images():
            kept = datastore.get_image_info(name).get(SCORE) or {}
            if kept.get("model") != made_by:
                if most is not None and new >= most:
                    continue
                new += 1
                try:
                    value = self.models.current().flip_disagreement(datastore.get_image_uri(name))
                except (*DOMAIN_ERRORS, RuntimeError) as error:
                    logger.warning("no score: %s", cause_of(error))
                    continue
                kept = {"model": made_by, "score": value}
                datastore.update_image_info(name, {SCORE: kept})
            scores[name] = kept["score"]
        return scores


class Uncertain(Strategy):
    """The study on which the model contradicts itself most."""

    def __init__(self, scoring: FlipDisagreement) -> None:
        super().__init__("Where the model's answer changes most when the study is mirrored (needs a model)")
        self.scoring = scoring

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any] | None:
        """The next study; None where all are labelled.

        Raises:
            CheckpointError: there is no model yet.
        """
        if self.scoring.models.history.current() is None:
            raise CheckpointError(
                "uncertain: must have a model that can be in doubt; found none yet. Choose `coverage` or `typical` for "
                "the first studies."
            )
        scores = self.scoring(request, datastore, _AT_ONCE)
        if not scores:
            open_ones = datastore.get_unlabeled_images()
            return {"id": open_ones[0]} if open_ones else None
        name = max(sorted(scores), key=lambda one: scores[one])
        return {"id": name, "weight": scores[name]}
