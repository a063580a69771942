"""Validation of a pretext method."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from ignite.metrics import Loss
from monai.engines import Evaluator
from torch import Tensor
from torch.utils.data import DataLoader

from medgenesis.engines.batches import ready
from medgenesis.engines.method import PretextMethod, check_method


class PretextEvaluator(Evaluator):
    """Average loss and parts of a method over a validation set; the key metric is "loss", smaller is better.

    Args:
        device: where to evaluate.
        val_data_loader: loader whose sampler is `fixed`, so that every epoch sees the same corrupted cubes.
        method: the method being trained.
        val_handlers: MONAI or Ignite handlers.

    Raises:
        ValueError: the last batch is too small for the method (its `least_batch`).

    `state.best_metric` and `state.best_metric_epoch` hold the best loss and its epoch.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: Iterable | DataLoader,
        method: PretextMethod,
        val_handlers: Sequence | None = None,
    ) -> None:
        check_method(method)
        _check_last_batch(val_data_loader, method)
        self.method = method
        parts = {name: _average(name) for name in method.parts}
        super().__init__(
            torch.device(device),
            val_data_loader,
            key_val_metric={"loss": _average("loss")},
            additional_metrics=parts,
            metric_cmp_fn=lambda current, best: current < best,
            val_handlers=val_handlers,
            decollate=False,
        )

    def _iteration(self, engine: "PretextEvaluator", batchdata: dict[str, Tensor]) -> dict[str, Any]:
        batch = ready(batchdata, getattr(self.data_loader, "dataset", None), self.state.device)
        self.method.eval()
        with torch.no_grad():
            output = self.method(batch)
        self.state.batch = batch
        return {**output, "samples": len(next(iter(batch.values())))}


def _check_last_batch(loader: Iterable, method: PretextMethod) -> None:
    """Now, and not after the first epoch."""
    least = method.least_batch
    if least == 1 or not isinstance(loader, DataLoader) or loader.batch_size is None or loader.drop_last:
        return
    samples = len(loader.sampler)
    if 0 < samples % loader.batch_size < least:
        raise ValueError(
            f"val_data_loader: its last batch must hold at least {least} samples for this method; found {samples} "
            f"samples in batches of {loader.batch_size}. Use another batch size, or drop_last=True."
        )


def _average(name: str) -> Loss:
    """Mean of one part of the output over all samples, across ranks."""
    return Loss(
        lambda value, samples: value,
        output_transform=lambda output: (output[name], output["samples"]),
        batch_size=lambda samples: samples,
    )
