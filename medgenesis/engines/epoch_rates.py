"""The learning rate of fine-tuning over its epochs."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, CosineAnnealingLR, LinearLR, ReduceLROnPlateau

SCHEDULES = ("cosine", "plateau", "constant")


def rate_schedule(
    optimizer: Optimizer, kind: str = "cosine", *, epochs: int, warmup_epochs: int = 0, patience: int = 6
) -> Any:
    """A schedule that is stepped after each epoch, "plateau" after each validation at the interval.

    Args:
        optimizer: whose rates it sets.
        kind: "cosine", to 0 at the end; "plateau", halved after `patience` validations without a gain of the key
            metric of more than 1e-4 (Keras' way, with which the published networks were fine-tuned); "constant".
        epochs: of the whole training.
        warmup_epochs: epochs in which a factor, that multiplies what `kind` gives, rises linearly to 1: the first has
            1 / (warmup_epochs + 1) of it. With "cosine" the rate therefore stays below that of the optimizer.
        patience: of "plateau".

    Returns:
        A PyTorch scheduler; None where the rate never changes.

    Raises:
        ValueError: an unknown kind, or a warm-up that does not fit it.
    """
    if kind not in SCHEDULES:
        raise ValueError(f"schedule: must be one of {', '.join(SCHEDULES)}; found {kind!r}. Choose one of them.")
    if not 0 <= warmup_epochs < epochs:
        raise ValueError(
            f"warmup_epochs: must be less than the {epochs} epochs of the training; found {warmup_epochs}. Give fewer."
        )
    if kind == "plateau":
        if warmup_epochs:
            raise ValueError(
                f"warmup_epochs: must be 0 with schedule=plateau; found {warmup_epochs}. Give 0, or choose cosine or "
                "constant."
            )
        # Keras lowers the rate after `patience` epochs without a gain, PyTorch after one more
        return ReduceLROnPlateau(
            optimizer, mode="max", factor=0.5, patience=patience - 1, threshold=1e-4, threshold_mode="abs"
        )
    cosine = [CosineAnnealingLR(optimizer, epochs)] if kind == "cosine" else []
    if not warmup_epochs:
        return cosine[0] if cosine else None
    warmup = LinearLR(optimizer, start_factor=1 / (warmup_epochs + 1), total_iters=warmup_epochs)
    return ChainedScheduler([warmup, *cosine], optimizer=optimizer)


def epochs_for(epochs: int, steps: int | None, batches: int, accumulation_steps: int = 1) -> int:
    """The number of epochs: `epochs`, or as many as `steps` optimizer steps begin (of the last perhaps a part).

    Args:
        epochs: where `steps` is None.
        steps: optimizer steps in all.
        batches: of an epoch.
        accumulation_steps: batches of a step; an epoch's last group may be smaller.
    """
    return epochs if steps is None else -(-iterations_for(steps, batches, accumulation_steps) // batches)


def steps_an_epoch(batches: int, accumulation_steps: int = 1) -> int:
    """Optimizer steps of an epoch; arguments as of `epochs_for`."""
    return -(-batches // accumulation_steps)


def iterations_for(steps: int, batches: int, accumulation_steps: int = 1) -> int:
    """The batch that ends the last of `steps` optimizer steps, counted over all epochs; arguments as of `epochs_for`.

    Raises:
        ValueError: fewer than 1 step.
    """
    if steps < 1:
        raise ValueError(f"steps: must be at least 1, or null; found {steps}. Give more, or leave it out.")
    whole, left = divmod(steps, steps_an_epoch(batches, accumulation_steps))
    return whole * batches + left * accumulation_steps
