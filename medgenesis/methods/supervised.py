"""Learning from labels as a method of the one engine: fine-tuning and classification resume as pre-training does."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from medgenesis.engines import PretextMethod
from medgenesis.networks.layers import PARTS, network_layers


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
        self.frozen: frozenset[str] = frozenset()
        self._still: list[nn.Module] = []  # the modules of frozen parts

    def freeze(self, parts: Collection[str]) -> bool:
        """Keep these parts as they are, batch norm's statistics included, and learn all others.

        Args:
            parts: of "encoder", "decoder", "head"; none: everything is learnt.

        Returns:
            Whether that is another choice than before.

        Raises:
            ValueError: an unknown part, one that the network has not, or all of them.
        """
        wanted = frozenset(parts)
        if wanted == self.frozen:
            return False
        layers = network_layers(self.network)
        there = {part for part, _ in layers}
        if not wanted <= there or wanted == there:
            raise ValueError(
                f"freeze: must name some of {', '.join(part for part in PARTS if part in there)} and leave one to "
                f"learn; found {', '.join(sorted(wanted))}. Correct it, or leave it out."
            )
        self.frozen, self._still = wanted, []
        for part, modules in layers:
            for module in modules:
                for weight in module.parameters(recurse=False):
                    weight.requires_grad_(part not in wanted)
            self._still += modules if part in wanted else []
        return True

    def train(self, mode: bool = True) -> "Supervised":
        """As of any module; frozen parts stay in evaluation mode."""
        super().train(mode)
        for module in self._still:
            module.eval()
        return self

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss of a batch."""
        target = batch[self.target]
        target = target if self.dtype is None else target.to(self.dtype)
        return {"loss": self.loss(self.network(batch["image"]), target)}
