"""Does the network restore better than answers that need no network?"""

import logging
from pathlib import Path

import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from medgenesis.engines import PretextTrainer
from medgenesis.engines.batches import ready
from medgenesis.handlers.written import say_written
from medgenesis.report import write_run_report
from medgenesis.storage.checkpoint import read_checkpoint
from medgenesis.storage.tables import write_table

logger = logging.getLogger(__name__)

COLUMNS = ("answer", "mean squared error", "times the network's")
_MEAN_OF = 512  # training cubes: more would not move their mean by much, and all of LUNA16 takes minutes


@torch.no_grad()
def restoration_errors(
    method: nn.Module, training: Dataset, held_out: Dataset, batch_size: int = 8
) -> dict[str, float]:
    """Mean squared errors on held-out pretext pairs: of a method's network and of three trivial answers.

    Args:
        method: a pretext method with `restore`, (B, C, *spatial) corrupted -> restored, on whatever device it is.
        training: pairs (`image`, `target`); the mean training cube is that of 512 of them, evenly spaced, at most.
        held_out: pairs of other volumes, all of one size; with `mask`, what is hidden, that alone counts.
        batch_size: pairs at a time.

    Returns:
        "network", "corrupted cube" (answer what was shown; of a slab its middle slice), "mean training cube" (the
        voxel-wise mean of the training targets) and "own mean" (each corrupted cube's mean everywhere, that of its
        visible voxels), over all held-out voxels, or the hidden ones.
    """
    device = next(method.parameters()).device
    mean_cube = _mean_target(training, batch_size, device)
    sums: dict[str, float] = {}
    count = 0
    with eval_mode(method):
        for batch in DataLoader(held_out, batch_size):
            batch = ready(batch, held_out, device)
            image, target = batch["image"], batch["target"]
            mask = [batch["mask"]] if "mask" in batch else []
            answers = {
                "network": method.restore(image, *mask),
                "corrupted cube": _shown(image, target),
                "mean training cube": mean_cube.expand_as(target),
                "own mean": _mean(image, *(~hidden for hidden in mask)).expand_as(target),
            }
            for name, answer in answers.items():
                squares = _mean((answer.double() - target.double()).square(), *mask).sum().item()
                sums[name] = sums.get(name, 0.0) + squares
            count += len(image)
    return {name: total / count for name, total in sums.items()}


def _mean(volume: Tensor, where: Tensor | None = None) -> Tensor:
    """Each volume's mean (B, 1, …), over all voxels or where a mask says, bool (B, 1, *spatial)."""
    spatial = tuple(range(1, volume.ndim))
    if where is None:
        return volume.mean(dim=spatial, keepdim=True)
    where = where.expand_as(volume)
    return (volume * where).sum(dim=spatial, keepdim=True) / where.sum(dim=spatial, keepdim=True)


def _shown(image: Tensor, target: Tensor) -> Tensor:
    """What was shown of that which is to be restored."""
    middle = image.shape[1] // 2
    return image if image.shape[1] == target.shape[1] else image[:, middle : middle + 1]


def _mean_target(pairs: Dataset, batch_size: int, device: torch.device) -> Tensor:
    some = Subset(pairs, range(0, len(pairs), -(-len(pairs) // _MEAN_OF)))
    total, count = None, 0
    for batch in DataLoader(some, batch_size):
        target = ready(batch, pairs, device)["target"]
        summed = target.double().sum(dim=0)
        total = summed if total is None else total + summed
        count += len(target)
    return total / count


def report_restoration(trainer: PretextTrainer, held_out: Dataset, weights: str | Path, path: str | Path) -> None:
    """Log the table of `restoration_errors` for the best weights of a finished run, and write it to a CSV file
    and to the run's report beside it.

    Args:
        trainer: the run, of a method with `restore`; nothing happens on ranks other than 0.
        held_out: validation pairs.
        weights: the exported network weights; loaded into the method's network.
        path: the CSV file.
    """
    if trainer.state.rank != 0:
        return
    method = trainer.method
    method.network.load_state_dict(read_checkpoint(weights, map_location=trainer.state.device))
    errors = restoration_errors(method, trainer.data_loader.dataset, held_out)
    rows = [(name, error, error / max(errors["network"], 1e-12)) for name, error in errors.items()]
    write_table(path, rows, COLUMNS, decimals={COLUMNS[1]: ".6f", COLUMNS[2]: ".2f"})
    page = write_run_report(Path(path).parent, "Pre-training")
    for name, error in errors.items():
        logger.info("restoration of %d held-out cubes: %-18s %.6f", len(held_out), name, error)
    say_written(path, page)
