"""The cases of the validation section, measured with the network that a fine-tuning has chosen."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from monai.engines import SupervisedEvaluator
from monai.inferers import Inferer
from torch import nn
from torch.utils.data import DataLoader

from medgenesis.handlers import SegmentationCases
from medgenesis.storage.checkpoint import read_checkpoint

logger = logging.getLogger(__name__)


def report_segmentation(
    network: nn.Module,
    loader: DataLoader,
    inferer: Inferer,
    postprocessing: Callable,
    weights: str | Path,
    output_dir: str | Path,
    names: Mapping[int, str] | None = None,
) -> None:
    """Segment each case with the best weights of a finished run, and write `cases.csv` and the run's report.

    Args:
        network: of the run, on its device; left with the weights.
        loader: of the validation section, a case a batch; nothing is done where it has none.
        inferer: as in validation.
        postprocessing: likewise; it leaves `pred` and `label` one-hot.
        weights: a state dict of the network.
        output_dir: the run's folder; see `SegmentationCases`.
        names: of the classes.
    """
    logger.info("written: %s", weights)
    if not len(loader.dataset):
        return
    device = next(network.parameters()).device
    network.load_state_dict(read_checkpoint(weights, map_location=device))
    SupervisedEvaluator(
        device=device,
        val_data_loader=loader,
        network=network,
        inferer=inferer,
        postprocessing=postprocessing,
        val_handlers=[SegmentationCases(output_dir, "Fine-tuning", names)],
        amp=device.type == "cuda",
    ).run()
