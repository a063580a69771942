"""Models Genesis: restore a cube from its corrupted version."""

import torch
from torch import Tensor, nn

from medgenesis.engines.method import PretextMethod
from medgenesis.methods.answer_shape import check_restored


class ModelsGenesis(PretextMethod):
    """Restoration of corrupted cubes, as a module whose forward is its loss.

    loss = mean((network(image) - target)^2)

    Args:
        network: encoder-decoder with as many output as input channels, output in the intensity range of the
            targets (a sigmoid head for [0, 1]).
        loss: of (restored, target); mean squared error by default, as published.

    Shape:
        batch: `image` (corrupted) and `target` (original), both (B, C, *spatial), as `RandGenesisd` makes them.
        returns: "loss" and "restoration", scalars; "restored" (B, C, *spatial), detached, for images and guards.

    Raises:
        ValueError: (on call) a target of another shape than what is restored.

    References:
        Zhou et al., Models Genesis, Medical Image Analysis 2021 (arXiv 2004.07882), section 3.
    """

    parts = ("restoration",)

    def __init__(self, network: nn.Module, loss: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.restoration_loss = nn.MSELoss() if loss is None else loss

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        restored = self.network(batch["image"])
        check_restored(restored, batch["target"])
        restoration = self.restoration_loss(restored, batch["target"])
        return {"loss": restoration, "restoration": restoration.detach(), "restored": restored.detach()}

    @torch.no_grad()
    def restore(self, image: Tensor) -> Tensor:
        """The restored version of `image`, both (B, C, *spatial)."""
        return self.network(image)
