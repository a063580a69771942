"""A linear classifier on any encoder, of the mean feature of several inputs of one image."""

from torch import Tensor, nn

from medgenesis.networks.parts import global_average_pool


class PooledClassifier(nn.Module):
    """One dense layer on the pooled features of an encoder; windows or slabs of one image count with their mean.

    Args:
        encoder: batches (B, C, *spatial) -> vectors (B, d), a feature map, or several from shallow to deep.
        features: d.
        num_classes: number of logits.

    Shape: (B, k, C, *spatial) -> (B, num_classes).
    """

    def __init__(self, encoder: nn.Module, features: int, num_classes: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        vectors = global_average_pool(self.encoder(x.flatten(0, 1)))
        return self.head(vectors.unflatten(0, x.shape[:2]).mean(1))
