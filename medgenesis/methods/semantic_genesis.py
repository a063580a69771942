"""Semantic Genesis: name the anatomical pattern of a corrupted cube, and restore it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgenesis.engines.method import PretextMethod
from medgenesis.methods.answer_shape import check_restored
from medgenesis.methods.self_classification import self_classification


class SemanticGenesis(PretextMethod):
    """Self-classification and self-restoration of discovered patterns, as a module whose forward is its loss.

    loss = restoration_weight * mean((restored - target)^2) + classification_weight * cross_entropy(logits, class)

    With an encoder-only network ("en") it is the cross-entropy alone, of weight 1.

    Args:
        network: image -> (restored or None, logits), as `YNet3D`; its attribute `restores` tells which.
        restoration_weight: of the mean squared error (published: 1).
        classification_weight: of the cross-entropy (published: 0.01).

    Shape:
        batch: `image` (corrupted) and `target` (original), both (B, C, *spatial); `class` (B,), whole numbers.
        returns: "loss", "restoration", "classification" and "accuracy" (the share of right classes), scalars;
            "restored" (B, C, *spatial), detached. Without a decoder neither "restoration" nor "restored".

    Raises:
        ValueError: a network without `restores`; (on call) a batch without `class`, with classes that the network has
            not, or with a target of another shape than what is restored.

    References:
        Haghighi et al., Semantic Genesis, MICCAI 2020 (arXiv 2007.06959), section 2.
        Haghighi et al., TransVW, IEEE Transactions on Medical Imaging 2021 (arXiv 2102.10680).

    Notes:
        The published loss feeds the logarithm of a softmax to the cross-entropy, which equals the cross-entropy on the
        logits.
    """

    def __init__(
        self, network: nn.Module, restoration_weight: float = 1.0, classification_weight: float = 0.01
    ) -> None:
        super().__init__()
        if not hasattr(network, "restores"):
            raise ValueError(
                "network: must restore and classify, and say by its attribute `restores` whether it does the former; "
                f"found {type(network).__name__} without it. Use YNet3D, or TransVW to add classes to another method."
            )
        self.network = network
        self.restoration_weight, self.classification_weight = restoration_weight, classification_weight
        self.parts = (*(["restoration"] if network.restores else []), "classification", "accuracy")

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        restored, logits = self.network(batch["image"])
        classification, accuracy = self_classification(logits, batch)
        output = {"loss": classification, "classification": classification.detach(), "accuracy": accuracy}
        if restored is None:
            return output
        check_restored(restored, batch["target"])
        restoration = F.mse_loss(restored, batch["target"])
        loss = self.restoration_weight * restoration + self.classification_weight * classification
        return {**output, "loss": loss, "restoration": restoration.detach(), "restored": restored.detach()}

    @torch.no_grad()
    def restore(self, image: Tensor) -> Tensor:
        """The restored version of `image`, both (B, C, *spatial).

        Raises:
            ValueError: the network has no decoder.
        """
        restored, _ = self.network(image)
        if restored is None:
            raise ValueError("network: must have a decoder to restore; found an encoder-only one. Train with decoder.")
        return restored
