"""TransVW: self-classification added to another pretext method."""

import torch
from torch import Tensor, nn

from medgenesis.engines.method import PretextMethod
from medgenesis.methods.bottleneck import record_bottleneck_features
from medgenesis.methods.self_classification import self_classification
from medgenesis.networks import PatternHead, network_parts


class TransVW(PretextMethod):
    """Let any pretext method also name the anatomical pattern of each cube, as a module whose forward is its loss.

    loss = loss of the method + weight * cross_entropy(head(last feature map of its encoder), class)

    The last feature map is the one that the method's own network computes, caught in the same forward pass; nothing is
    computed twice, and nothing is kept between batches.

    Args:
        method: a pretext method; `network_parts` must know the encoder of its `network`.
        num_classes: number of patterns.
        weight: of the cross-entropy (published: 0.01).
        norm: of the class head, see `UNet3D`.
        spatial_dims: 3; 2 for methods on slabs, `CAiD` and `Adam`.

    Shape:
        batch: what the method takes, and `class` (B,), whole numbers.
        returns: what the method returns, with the new "loss", and "classification" and "accuracy" (the share of right
            classes), scalars. Where a forward of the method runs the encoder several times on maps of the same
            B cubes (two views, for example), each is classified, and these are means over them.

    Raises:
        ValueError: a method that classifies already, or whose encoder does not say its channels; (on call) a batch
            without `class` or with classes outside 0 to num_classes - 1, or a network that goes round its encoder.

    References:
        Haghighi et al., TransVW, IEEE Transactions on Medical Imaging 2021 (arXiv 2102.10680).

    Notes:
        `network` is the method's, for transfer; the class head stays with this module. `SemanticGenesis` is the
        published combination in one network, whose class head is kept.
    """

    def __init__(
        self, method: PretextMethod, num_classes: int, weight: float = 0.01, norm: str = "batch", spatial_dims: int = 3
    ) -> None:
        super().__init__()
        self.parts = (*method.parts, "classification", "accuracy")
        if len(set(self.parts)) < len(self.parts):
            raise ValueError(
                f"method: must not classify patterns itself; found {type(method).__name__} with the parts "
                f"{', '.join(method.parts)}. Use it without TransVW."
            )
        encoder = network_parts(method.network).encoder
        channels = getattr(encoder, "out_channels", None)
        if channels is None:
            raise ValueError(
                f"method: the encoder of its network must have out_channels, those of its last feature map; found "
                f"{type(encoder).__name__} without. Set the attribute."
            )
        self.method, self.weight = method, weight
        self.settings, self.least_batch = method.settings, method.least_batch
        self.classifier = PatternHead(channels, num_classes, norm, spatial_dims)

    def check_batch(self, batch: int, processes: int = 1) -> None:
        """Refuse a batch size (of each process) that the method refuses; called before training."""
        self.method.check_batch(batch, processes)

    @property
    def network(self) -> nn.Module:
        """What is kept for transfer: the network of the method."""
        return self.method.network

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        with record_bottleneck_features(self.network) as maps:
            output = self.method(batch)
        results = [self_classification(self.classifier(bottleneck), batch) for bottleneck in maps]
        classification, accuracy = (torch.stack(values).mean() for values in zip(*results, strict=True))
        loss = output["loss"] + self.weight * classification
        return {**output, "loss": loss, "classification": classification.detach(), "accuracy": accuracy}

    def restore(self, image: Tensor, *mask: Tensor) -> Tensor:
        """The method's restored version of `image`, both (B, C, *spatial), where it has one."""
        return self.method.restore(image, *mask)
