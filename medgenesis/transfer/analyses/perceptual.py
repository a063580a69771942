"""Perceptual distance of an image and its reconstruction: LPIPS where it is installed, or features of networks."""

import importlib
import importlib.util
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.geometry import Geometry, resized

LPIPS_NETS = ("alex", "vgg", "squeeze")
Distance = Callable[[Tensor, Tensor], float]
_SIDE = 224  # at which the study compares
_SLICES = 16  # of a volume, that a 2D network is asked of


def lpips_is_installed() -> bool:
    """Whether the package `lpips` is there."""
    return importlib.util.find_spec("lpips") is not None


def lpips_distance(net: str, device: str | torch.device = "cpu") -> Distance:
    """LPIPS 0.1 of images (C, H, W) in [0, 1], at 224 x 224; of volumes the mean over slices.

    Args:
        net: "alex", "vgg" or "squeeze".
        device: for the network.

    Raises:
        ValueError: another network, no package `lpips`, or none of the weights that it needs.

    References:
        Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018
        (arXiv 1801.03924).
    """
    if net not in LPIPS_NETS:
        raise ValueError(f"net: must be one of {', '.join(LPIPS_NETS)}; found {net!r}. Choose one of them.")
    if not lpips_is_installed():
        raise ValueError(
            "net: must have the package lpips; found none. Install it (pip install lpips), or compare by networks of "
            "your own: --by."
        )
    try:
        network = importlib.import_module("lpips").LPIPS(net=net, version="0.1", verbose=False).to(device).eval()
    except (OSError, ImportError, RuntimeError) as error:  # no download; a torchvision that is not of this torch
        raise ValueError(
            f"net: must have torchvision and its weights of {net}, which are downloaded at the first use; found none "
            f"({error}). Install it, put them into torch's cache, or compare by networks of your own: --by."
        ) from error

    @torch.no_grad()
    def distance(one: Tensor, other: Tensor) -> float:
        pairs = zip(_slices(one), _slices(other), strict=True)
        found = [network(*(2 * _shown(part, (_SIDE, _SIDE), 3).to(device) - 1 for part in pair)) for pair in pairs]
        return float(torch.stack(found).mean())

    return distance


def feature_distance(encoder: Encoder) -> Distance:
    """How far the features of two images are apart at all levels of an encoder; this is not LPIPS.

    Of each place of each map the features are brought to length 1; the squared differences are summed over channels,
    averaged over places and summed over levels: LPIPS without its calibrated weights (its baseline). A 2D encoder
    compares volumes slice by slice.

    Args:
        encoder: that gives maps or vectors; the controls `pixels` and `handmade` see images and volumes as they are.

    Raises:
        ValueError: the control `table`, which sees no image.
    """
    if encoder.of_record is not None:
        raise ValueError(f"{encoder.name}: must see images; found a table's numbers. Leave it out.")

    @torch.no_grad()
    def distance(one: Tensor, other: Tensor) -> float:
        flat = encoder.dims == 2 or one.ndim == 3
        parts = (_slices(one), _slices(other)) if flat else ([one], [other])
        found = []
        for pair in zip(*parts, strict=True):
            maps = [encoder.maps(_shown(part, encoder.size, encoder.channels)) for part in pair]
            levels = [[one] if isinstance(one, Tensor) else list(one) for one in maps]
            found.append(sum(_apart(*level) for level in zip(*levels, strict=True)))
        return float(np.mean(found))

    return distance


def _apart(one: Tensor, other: Tensor) -> float:
    difference = F.normalize(one.double(), dim=1, eps=1e-10) - F.normalize(other.double(), dim=1, eps=1e-10)
    return float(difference.square().sum(1).mean())


def _slices(image: Tensor) -> list[Tensor]:
    """An image, or evenly spaced slices of a volume (C, X, Y, Z), rows first."""
    if image.ndim == 3:
        return [image]
    depth = image.shape[3]
    count = min(depth, _SLICES)
    places = ((torch.arange(count) + 0.5) * depth / count).long().tolist()
    return [image[..., place].transpose(1, 2) for place in places]


def _shown(image: Tensor, size: tuple[int, ...], channels: int | None) -> Tensor:
    """A batch of one, at another size (none: its own) and with so many channels: those it has, or all their mean."""
    image = image.float()
    if not size:
        return image[None]
    if channels is not None and len(image) != channels:
        image = image.mean(0, keepdim=True).expand(channels, *image.shape[1:])
    if image.ndim == 4:
        return resized(image[None], size)
    return Geometry("crop")(image.transpose(1, 2), size, channels, 2, "image")
