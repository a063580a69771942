"""The contract of a discriminator between two views: what CAiD and Adam combine with other tasks."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Discriminator(nn.Module, ABC):
    """Instance discrimination between two views of one image, beside an encoder that it does not own.

    It is made from the method's encoder (``Discriminator(encoder, **settings)``), reads its `out_channels`, and does
    not keep it.

    Attributes:
        parts: names of the scalars that forward returns beside "loss".
        least_batch: samples that one call needs at least, in evaluation too.
    """

    parts: tuple[str, ...] = ()
    least_batch: int = 1

    @abstractmethod
    def check_batch(self, batch: int, processes: int = 1) -> None:
        """Refuse a batch size (of each process) that cannot be used. Raises: ValueError."""

    @abstractmethod
    def forward(self, features: Tensor, key: Tensor, encoder: nn.Module) -> dict[str, Tensor]:
        """Loss and parts.

        Args:
            features: pooled features of the first views (B, C), with gradient.
            key: the second views (B, k, H, W).
            encoder: the method's, image -> feature maps or pooled features.

        Returns:
            "loss", with gradient, and a detached scalar for each of `parts`.
        """
