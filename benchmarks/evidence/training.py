"""One training of the product's engine on cases in memory, of so many steps: warm-up, cosine, clipped gradients."""

import math
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch.utils.data import DataLoader

from benchmarks.evidence.batches import CasesInMemory
from medgenesis.engines import PretextMethod, PretextTrainer
from medgenesis.storage import read_checkpoint, save_checkpoint

PIECE = 50  # steps between checkpoints
WARM_UP = 0.1  # share of the steps in which the rate rises
CLIP_NORM = 1.0


def train(
    method: PretextMethod,
    dataset: CasesInMemory,
    steps: int,
    batch: int,
    rate: float,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    handlers: tuple = (),
) -> None:
    """Train a method in place for so many optimizer steps.

    Args:
        method: what is trained.
        dataset: with `batch` samples for each of the `steps`, in one epoch.
        steps: in all.
        batch: samples of a step.
        rate: largest learning rate, of Adam.
        device: where.
        checkpoint: file from which a stopped training goes on; None keeps none.
        handlers: of the trainer.
    """
    optimizer = torch.optim.Adam(method.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share_of_rate(step, steps))
    loader = DataLoader(dataset, batch, sampler=dataset.sampler(), drop_last=True)
    trainer = PretextTrainer(
        device,
        1,
        loader,
        method,
        optimizer,
        schedule,
        handlers,
        clip_norm=CLIP_NORM,
        channels_last=True,
        seed=dataset.seed,
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: schedule.step())
    if checkpoint is not None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(every=PIECE), _save, checkpoint)
        if checkpoint.exists():
            trainer.restore(read_checkpoint(checkpoint))
    trainer.run()


def share_of_rate(step: int, steps: int) -> float:
    """The share of the largest rate at a step, from 0: linear to 1, then by a cosine towards 0."""
    rising = max(1, round(WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising))) / 2


def _save(trainer: Engine, path: Path) -> None:
    save_checkpoint(trainer.checkpoint(), path)
