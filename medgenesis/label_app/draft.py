"""A first draft before any training: what is labelled is carried to other studies by self-supervised features."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from medgenesis.data.pipeline import Preprocessing
from medgenesis.errors import DOMAIN_ERRORS
from medgenesis.label_app.config_parts import fine_tuning_parts, network_of
from medgenesis.label_app.labelled import Labelled, cause_or_raise
from medgenesis.label_app.segmenter import Segmenter
from medgenesis.label_app.settings import AppSettings
from medgenesis.networks.voxel_probe import fit_voxel_probe, has_levels
from medgenesis.weights import initialise

MOST = 5  # labelled studies that a draft is made of, the latest
_CROPS = 48  # of all of them, at least


def draft_segmenter(
    settings: AppSettings, labelled: Sequence[Labelled], seed: int = 0
) -> tuple[Segmenter | None, int, dict[str, str]]:
    """A segmentation by the frozen self-supervised network and a linear classifier of its voxels.

    Args:
        settings: of the app; with weights "scratch" the features are those of a random network, and tell little.
        labelled: studies with label maps of the app's values, in the order of their saving; the latest are taken.
        seed: of the crops and voxels.

    Returns:
        The segmentation, None where no study can be used; of how many studies it is; name -> why one cannot be used.

    Raises:
        CheckpointError: the weights are not of the bundle's network.
        ValueError: its maps are not known, see `without_draft`.
    """
    weights = settings.weights
    network = initialise(network_of(settings, seed), weights)
    parts = fine_tuning_parts(settings, weights, ("preprocessing", "train#random_transforms"))
    prepared, refused = _prepared(labelled, parts["preprocessing"])
    if not prepared:
        return None, 0, refused
    crops = _crops(prepared, parts["train#random_transforms"], seed)
    probe = fit_voxel_probe(network, crops, 1 + len(settings.labels), seed=seed)
    return Segmenter(settings, weights, network=probe), len(prepared), refused


def without_draft(settings: AppSettings) -> str | None:
    """The kind of the app's network, where no draft can be made of it as its maps are not known; None: one can."""
    network = network_of(settings)
    return None if has_levels(network) else type(network).__name__


def _prepared(labelled: Sequence[Labelled], prepare: Callable) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The latest studies that can be used, and why others cannot."""
    found, refused = [], {}
    for one in reversed(labelled):
        if len(found) < MOST:
            try:
                found.append(prepare(one.record))
            except (*DOMAIN_ERRORS, OSError, RuntimeError) as error:
                refused[one.name] = str(cause_or_raise(error))
    return found[::-1], refused


def _crops(prepared: Sequence[Mapping], transforms: list, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Crops as fine-tuning sees them, of each study equally many."""
    random = Preprocessing(list(transforms)).set_random_state(seed)
    wanted = -(-_CROPS // len(prepared))
    for one in prepared:
        made = 0
        while made < wanted:
            found = random(dict(one))
            for crop in found if isinstance(found, list) else [found]:
                made += 1
                yield crop["image"], crop["label"]
