"""From pooled features to the vectors that discrimination compares."""

from torch import nn


def feature_channels(encoder: nn.Module) -> int:
    """Numbers of a pooled vector: the encoder's `out_channels`.

    Raises:
        ValueError: it has no such attribute.
    """
    channels = getattr(encoder, "out_channels", None)
    if channels is None:
        raise ValueError(
            f"network: its encoder must have out_channels (of its last feature map); found {type(encoder).__name__} "
            "without. Use ResNet25D (Adam) or UNet25D (CAiD), or set the attribute."
        )
    return channels


def normed_mlp(*sizes: int) -> nn.Sequential:
    """Dense layers without bias from size to size, each but the last followed by batch norm and ReLU."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-2])


def check_normed_batch(batch: int) -> None:
    """Refuse a batch that batch norm of pooled vectors cannot normalise.

    Raises:
        ValueError: a batch of one.
    """
    if batch < 2:
        raise ValueError(
            f"batch_size: must be at least 2 a process, for batch norm in the projector; found {batch}. Give a larger "
            "one."
        )
