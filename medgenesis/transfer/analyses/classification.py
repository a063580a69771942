"""The records of the validation section, answered by the network that the training of a classifier has chosen."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai.inferers import Inferer
from torch import nn

from medgenesis.inference import classify_volumes
from medgenesis.storage.checkpoint import read_checkpoint

logger = logging.getLogger(__name__)


def report_classification(
    network: nn.Module,
    volumes: Iterable[Mapping[str, Any]],
    inferer: Inferer,
    weights: str | Path,
    output_dir: str | Path,
    multi_label: bool = False,
) -> None:
    """Classify each image with the best weights of a finished run, and write its tables and report.

    Args:
        network: of the run, on its device; left with the weights.
        volumes: of the validation section, see `classify_volumes`.
        inferer: as in validation.
        weights: a state dict of the network.
        output_dir: the run's folder.
        multi_label: the classes are findings, of which several may be present.
    """
    network.load_state_dict(read_checkpoint(weights, map_location=next(network.parameters()).device))
    logger.info("written: %s", weights)
    classify_volumes(network, volumes, inferer, output_dir, multi_label=multi_label)
