"""The contract between the engine and a pretext method."""

from collections.abc import Mapping
from typing import Any

from monai.data import MetaTensor
from torch import Tensor, nn


class PretextMethod(nn.Module):
    """A module that owns its networks and whose forward returns its loss: what `PretextTrainer` trains.

    A method sets `network` and defines `forward`; the rest has defaults.

    ``forward(batch)`` takes a dictionary of tensors, batch first (a call makes plain tensors of `MetaTensor`s, of which
    `torch.compile` refuses some operations), and returns a dictionary with

    - "loss": scalar, with its gradient;
    - one scalar, detached, for each name in `parts`: logged and averaged over the epoch;
    - optionally "restored" (B, C, *spatial), detached: for preview images and the collapse guard.

    Attributes:
        network: what is kept for transfer.
        parts: names of the scalars beside the loss.
        settings: what a run that is continued must agree in, name -> number or word.
        least_batch: samples that one call needs at least, in evaluation too.
        whole_batches: whether an epoch's left-over samples must be dropped.
    """

    network: nn.Module
    parts: tuple[str, ...] = ()
    settings: Mapping[str, Any] = {}
    least_batch: int = 1
    whole_batches: bool = True

    def __call__(self, batch: Mapping[str, Any], *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """As of any module, of plain tensors."""
        return super().__call__({name: _plain(value) for name, value in batch.items()}, *args, **kwargs)

    def check_batch(self, batch: int, processes: int = 1) -> None:
        """Refuse a batch size (of each process) that the method cannot use; called before training.

        Raises:
            ValueError: naming a batch size that would do.
        """

    def restore(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """The restored version of `image`, both (B, C, *spatial).

        Args:
            image: corrupted.
            mask: what is hidden, bool (B, 1, *spatial), if batches have a `mask`; a method without may lack it.

        Raises:
            ValueError: the method restores nothing.
        """
        raise ValueError(
            f"method: must restore images; found {type(self).__name__}, which does not. Use a method that restores, "
            "such as ModelsGenesis."
        )


def _plain(value: Any) -> Any:
    return value.as_tensor() if isinstance(value, MetaTensor) else value


def check_method(method: object) -> None:
    """Refuse what does not keep the contract.

    Raises:
        ValueError: no `PretextMethod`, or one without a network.
    """
    if not isinstance(method, PretextMethod):
        raise ValueError(
            f"method: must be a medgenesis.engines.PretextMethod; found {type(method).__name__}. Subclass it: its "
            "forward returns the loss."
        )
    if not isinstance(getattr(method, "network", None), nn.Module):
        raise ValueError(
            f"method: must have `network`, the module kept for transfer; found {type(method).__name__} without. "
            "Set it in __init__."
        )
