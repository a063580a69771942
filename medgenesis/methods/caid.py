"""CAiD: instance discrimination whose encoder must also restore the context of a distorted view."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgenesis.engines.method import PretextMethod
from medgenesis.methods.answer_shape import check_restored
from medgenesis.methods.bottleneck import record_bottleneck_features
from medgenesis.methods.discriminators.contract import Discriminator
from medgenesis.methods.discriminators.momentum_contrast import MomentumContrast
from medgenesis.networks import global_average_pool, network_parts
from medgenesis.networks.resnet25d import REDUCTION
from medgenesis.transforms import RandCAiDDistortion


class CAiD(PretextMethod):
    """Tell slabs from each other by two distorted views, and restore the clean crop of the first.

    loss = id_weight * discrimination + context_weight * mean((sigmoid(network(image)) - target)^2)

    The encoder runs once on `image` and serves both; the decoder sees the second term alone.

    Args:
        network: encoder-decoder that gives logits (`UNet25D()`), or ends in a sigmoid; in mode "id" also an encoder
            alone (`ResNet25D`).
        discrimination: makes the discriminator from the encoder: `MomentumContrast`, `SimSiam` or `BarlowTwins`.
        mode: "caid", or "id": the first term alone, with the decoder left as it is (its parameters get
            `requires_grad=False`, in mode "caid" `True`).
        id_weight: of the discrimination (published: 1).
        context_weight: of the restoration (published: 10, for momentum contrast; the other discriminators' losses are
            of other orders).
        settings: of the discriminator, `queue_size` for example.

    Shape:
        batch: `image` and `key`, the two views (B, k, H, W); in mode "caid" `target` (B, 1, H, W), the clean crop of
            `image`, in [0, 1].
        returns: "loss", "discrimination", "context" and the discriminator's parts, scalars; "restored" (B, 1, H, W) in
            [0, 1], detached. In mode "id" neither "context" nor "restored".

    Raises:
        ValueError: another mode, a network that ends in another activation than a sigmoid; (on call) a target of
            another shape than what is restored.

    References:
        Hosseinzadeh Taher et al., CAiD, MIDL 2022 (arXiv 2204.07344), section 2.

    Notes:
        - The published key branch is a whole U-Net whose decoder runs for nothing; here it has no decoder.
        - Two stages: train with mode "id", then `initialise_from_stage` to a method of mode "caid".
    """

    def __init__(
        self,
        network: nn.Module,
        discrimination: Callable[..., Discriminator] = MomentumContrast,
        *,
        mode: str = "caid",
        id_weight: float = 1.0,
        context_weight: float = 10.0,
        **settings,
    ) -> None:
        super().__init__()
        if mode not in ("caid", "id"):
            raise ValueError(f'mode: must be "caid" or "id"; found {mode!r}. Choose one of them.')
        self.network, self.restores, self.settings = network, mode == "caid", {"mode": mode}
        self.gives_logits = self.restores and _gives_logits(network)
        self.id_weight, self.context_weight = id_weight, context_weight
        encoder = network_parts(network).encoder
        self.discrimination = discrimination(encoder, **settings)
        self.least_batch = self.discrimination.least_batch
        self.parts = ("discrimination", *(["context"] if self.restores else []), *self.discrimination.parts)
        in_encoder = {id(parameter) for parameter in encoder.parameters()}
        for parameter in network.parameters():  # DistributedDataParallel stops at parameters that no loss reaches
            if id(parameter) not in in_encoder:
                parameter.requires_grad_(self.restores)

    def check_batch(self, batch: int, processes: int = 1) -> None:
        """Refuse a batch size (of each process) that the discriminator cannot use; called before training."""
        self.discrimination.check_batch(batch, processes)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        encoder = network_parts(self.network).encoder.train(self.training)  # of some networks gathered just now
        if not self.restores:
            output, discrimination = self._discriminated(encoder(batch["image"]), batch, encoder)
            return {**output, "loss": self.id_weight * discrimination}
        with record_bottleneck_features(self.network) as maps:
            restored = self._restored(batch["image"])
        check_restored(restored, batch["target"])
        context = F.mse_loss(restored, batch["target"])
        output, discrimination = self._discriminated(maps, batch, encoder)
        loss = self.id_weight * discrimination + self.context_weight * context
        return {**output, "loss": loss, "context": context.detach(), "restored": restored.detach()}

    def _discriminated(
        self, features: list[Tensor], batch: dict[str, Tensor], encoder: nn.Module
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The parts of the output that the discriminator gives, and its loss."""
        output = self.discrimination(global_average_pool(features), batch["key"], encoder)
        loss = output.pop("loss")
        return {**output, "discrimination": loss.detach()}, loss

    def _restored(self, image: Tensor) -> Tensor:
        restored = self.network(image)
        return restored.sigmoid() if self.gives_logits else restored

    @torch.no_grad()
    def restore(self, image: Tensor) -> Tensor:
        """The clean middle slice (B, 1, H, W) in [0, 1] of distorted slabs (B, k, H, W).

        Raises:
            ValueError: mode "id".
        """
        if not self.restores:
            raise ValueError(
                'mode: must be "caid" to restore; found "id", which trains no decoder. Train with mode "caid".'
            )
        return self._restored(image)


def _gives_logits(network: nn.Module) -> bool:
    last = list(network.get_submodule(network_parts(network).head).modules())[-1]
    if isinstance(last, nn.Sigmoid):
        return False
    if type(last).__module__ == nn.modules.activation.__name__:  # a sigmoid on top of it would leave a part of [0, 1]
        raise ValueError(
            f"network: must end in logits or a sigmoid; found a {type(last).__name__}. Use activation=None."
        )
    return True


def check_caid_size(size: int, mode: str) -> None:
    """Refuse a side of views that the network or, in mode "caid", the distortion cannot take.

    Args:
        size: of the views of `medgenesis.transforms.caid_views` and of the `UNet25D` that sees them, pixels.
        mode: "caid" or "id"; a size that is named instead fits both, as the stages of one training share it.

    Raises:
        ValueError: it does not divide by 32, or is too small for the distortion.
    """
    least = RandCAiDDistortion().least_side
    if size % REDUCTION or (mode == "caid" and size < least):
        above = -(-max(size, least) // REDUCTION) * REDUCTION
        fits = " or ".join(str(side) for side in (above - REDUCTION, above) if side >= least)
        raise ValueError(
            f'size: must divide by {REDUCTION}, as the maps are halved five times, and in mode "caid" be at least '
            f"{least}, as the distortion needs room; found {size} in mode {mode!r}. Give {fits}, for example."
        )
