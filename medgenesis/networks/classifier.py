"""A classifier (and an embedding) on the encoder of any network."""

import torch
from torch import nn

from medgenesis.networks.parts import global_average_pool, network_parts


class EncoderClassifier(nn.Module):
    """Global average pool of the encoder's last feature map, then one or two dense layers.

    It holds the network's own encoder (not a copy) and nothing of its decoder. The last feature map's channels come
    from the encoder's ``out_channels``.

    Args:
        network: the encoder-decoder, or the ``ResNet25D``, pre-trained or not; ``network_parts`` finds its encoder.
        num_classes: number of logits (B, num_classes).
        hidden: units of a dense layer with ReLU before the last one (published: 1024), or None for no such layer.
        dropout: probability of dropping a pooled value or hidden unit, before each dense layer.
        encoder: dotted name of the encoder, of a network that ``network_parts`` does not know.
        feature_channels: channels of the last feature map, where the encoder has no ``out_channels``.

    Raises:
        ValueError: the network does not say where its encoder is, or how many channels its last feature map has.

    References:
        Zhou et al., Models Genesis, Medical Image Analysis 2021 (arXiv 2004.07882): target classification tasks.

    Notes:
        Logits are returned, without a sigmoid or softmax; the published networks apply them inside.
    """

    def __init__(
        self,
        network: nn.Module,
        num_classes: int,
        *,
        hidden: int | None = 1024,
        dropout: float = 0.0,
        encoder: str | None = None,
        feature_channels: int | None = None,
    ):
        super().__init__()
        self.encoder = network_parts(network, encoder=encoder).encoder
        channels = feature_channels or getattr(self.encoder, "out_channels", None)
        if channels is None:
            raise ValueError(
                f"feature_channels: must be given where the encoder has no out_channels; found None for "
                f"{type(self.encoder).__name__}. Give the channels of its last feature map."
            )
        layers: list[nn.Module] = []
        if hidden is not None:
            layers += [nn.Dropout(dropout), nn.Linear(channels, hidden), nn.ReLU(inplace=True)]
            channels = hidden
        self.head = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(channels, num_classes))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """The pooled last feature map (B, channels) of volumes (B, C, X, Y, Z) or slabs (B, slices, H, W)."""
        return global_average_pool(self.encoder(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(x))
