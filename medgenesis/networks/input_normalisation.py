"""What a published 2D network expects of [0, 1] images, as the first thing that the network itself does."""

import torch
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INPUT_NORMALISATIONS = ("none", "imagenet", "histogram")


class ImageNetInput(nn.Module):
    """ImageNet's mean taken away and its deviation divided by, channel by channel; it has no weights.

    Args:
        slices: channels of the input (B, slices, H, W) in [0, 1]. Three get ImageNet's three numbers; others, as for
            grey images, the mean of the three.

    Notes:
        With other numbers of slices a network is not exactly that of three equal channels: each channel of the first
        convolution had its own mean and deviation. Of random weights the output of a ResNet-18's first convolution
        differs by 12 %, its features by 3 % (root mean squares; inside, by a constant of each channel). Three slices
        are exact.
    """

    def __init__(self, slices: int = 3) -> None:
        super().__init__()
        # numbers, not buffers: a layer without weights counts as none
        self.mean, self.std = list(IMAGENET_MEAN), list(IMAGENET_STD)
        if slices != 3:
            self.mean, self.std = [sum(IMAGENET_MEAN) / 3], [sum(IMAGENET_STD) / 3]

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.tensor(self.mean, dtype=x.dtype, device=x.device)[:, None, None]
        std = torch.tensor(self.std, dtype=x.dtype, device=x.device)[:, None, None]
        return (x - mean) / std


class HistogramInput(nn.Module):
    """The histogram of each image (B, C, H, W) equalised, to values up to 255, as CovidPrognosis' networks saw it.

    256 bins from the least to the greatest value of an image, all channels together; a value becomes the share of
    pixels up to its bin, interpolated between the left edges of the bins. An image of one value becomes 0.

    References:
        Sriram et al., COVID-19 deterioration prediction, 2021 (arXiv 2101.04909).

    Notes:
        In a sliding window it is the window's histogram.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bins = 256

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1).float()
        least = flat.min(1, keepdim=True)[0]
        width = (flat.max(1, keepdim=True)[0] - least) / self.bins
        constant = width <= 0
        place = (flat - least) / torch.where(constant, torch.ones_like(width), width)
        bins = place.floor().clamp(0, float(self.bins - 1)).long()
        counts = torch.zeros(flat.shape[0], self.bins, device=x.device).scatter_add_(1, bins, torch.ones_like(flat))
        shares = counts.cumsum(1) * (255.0 / flat.shape[1])
        above = shares.gather(1, (bins + 1).clamp(max=self.bins - 1))
        here = shares.gather(1, bins)
        equalised = here + (place - bins).clamp(0, 1) * (above - here)
        return torch.where(constant, torch.zeros_like(flat), equalised).reshape(x.shape).to(x.dtype)


def normalisation_module(name: str, slices: int) -> nn.Module | None:
    """The module of that name, None for "none".

    Raises:
        ValueError: another name.
    """
    if name not in INPUT_NORMALISATIONS:
        raise ValueError(
            f"input_normalisation: must be one of {', '.join(INPUT_NORMALISATIONS)}; found {name!r}. Choose one of "
            "them."
        )
    if name == "none":
        return None
    return ImageNetInput(slices) if name == "imagenet" else HistogramInput()
