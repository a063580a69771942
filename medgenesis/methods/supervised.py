"""Learning from labels as a method of the one engine: fine-tuning and classification resume as pre-training does."""

from collections.abc import Callable

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from medgenesis.engines import PretextMethod


class Supervised(PretextMethod):
    """A network and the loss of what it answers: `batch["image"]` against what is known of it.

    Args:
        network: (B, C, *spatial) -> what the loss takes.
        loss: (answer, target) -> scalar.
        target: key of what is known, a label map (B, 1, *spatial) or classes (B,) or (B, classes).
        dtype: of the target, or None: as it is.

    Notes:
        Nothing is "restored"; an epoch's last batch may be smaller than the others.
    """

    whole_batches = False

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        target: str = "label",
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.target, self.dtype = network, loss, target, dtype

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss of a batch."""
        target = _plain(batch[self.target])
        target = target if self.dtype is None else target.to(self.dtype)
        return {"loss": self.loss(self.network(_plain(batch["image"])), target)}


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
