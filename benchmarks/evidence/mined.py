"""Patterns that recur in the unlabelled images, found in memory by the product's own discovery: what TransVW learns."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.evidence.batches import images_of, sources_of
from benchmarks.evidence.networks import restorer
from benchmarks.evidence.sets import StudySet
from medgenesis.mining import VolumeInfo, discover

AT_ONCE = 16  # images
PATTERNS = {"classes": 12, "train_patients": 60, "min_distance": 3}


def mined_sources(study: StudySet, weights: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Places of crops, each with its `class`: the same place in the patients who resemble a reference patient most.

    Args:
        study: the set.
        weights: of a `restorer`, whose pooled last feature maps say who resembles whom.
    """
    network = restorer(study)
    network.load_state_dict(dict(weights))
    images = images_of(study.unlabelled)
    network.eval().to(study.device)
    with torch.no_grad():
        maps = torch.cat([network.encoder(some.to(study.device))[-1].cpu() for some in images.split(AT_ONCE)])
    features = maps.flatten(2).mean(dim=2).numpy()
    volumes = [
        VolumeInfo(f"/unlabelled/{row}", str(case.patient), "training", tuple(case.image.shape[1:]), (1.0,) * 3)
        for row, case in enumerate(study.unlabelled)
    ]
    table = discover(
        volumes,
        features,
        lambda row: images[row],
        cube_size=study.crop,
        criterion="any",
        coordinates="voxel",
        validation_patients=0,
        **{**PATTERNS, "train_patients": min(PATTERNS["train_patients"], len({one.patient for one in volumes}))},
    )
    row_of = {volume.image: row for row, volume in enumerate(volumes)}
    sources = sources_of(study.unlabelled)
    return [
        {**sources[row_of[item["image"]]], "origin": tuple(item["origin"]), "class": torch.tensor(item["class"])}
        for item in table.training
    ]
