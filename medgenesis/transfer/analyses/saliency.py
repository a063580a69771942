"""Occlusion saliency: how much the features change where a window of the image is covered; 2D and 3D."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medgenesis.progress import track
from medgenesis.transfer.encoder import Encoder


@dataclass(frozen=True, eq=False)
class Saliency:
    """What an encoder attends to in one image.

    Attributes:
        heatmap: (*spatial), the mean relative change over all windows that cover a pixel; the border of side - 1
            pixels, which fewer windows cover, is cut off.
        changes: (*places), |f(x) - f(x covered)| / |f(x)| of each window.
        diffusion: attentive diffusion, the share of pixels above the mean, 0 to 1; 0 where all are alike.
    """

    heatmap: np.ndarray
    changes: np.ndarray
    diffusion: float


def occlusion_saliency(
    encoder: Encoder,
    image: Tensor,
    window: int | Sequence[int] = 10,
    stride: int = 1,
    fill: float | Sequence[float] = 0.0,
    *,
    batch_size: int = 64,
) -> Saliency:
    """Cover each window of an image in turn, and see how far the pooled features move.

    Args:
        encoder: in evaluation mode.
        image: (C, *spatial) in [0, 1], as the encoder takes it; for a map of 224 pixels with windows of 10: 242.
        window: side of the window, pixels or voxels, for all axes or each.
        stride: from a window to the next; with more than 1 a change counts for all places up to the next.
        fill: value under the window, of all channels or each. The study's is 0 after normalisation: ImageNet's mean
            where that is taken away, else 0.
        batch_size: windows at a time.

    Raises:
        ValueError: a window larger than the image or below 1, a stride below 1, features of length 0 or not finite.

    References:
        Anton et al., J. Imaging 8(12):320, 2022: windows of 10, stride 1. Their networks were in training mode, whose
        batch norm takes the statistics of the single image; ours are in evaluation mode.
    """
    sides = tuple(image.shape[1:])
    windows = (window,) * len(sides) if isinstance(window, int) else tuple(window)
    if len(windows) != len(sides) or stride < 1 or not all(0 < w <= s for w, s in zip(windows, sides, strict=True)):
        raise ValueError(
            f"window, stride: must be from 1 to the sides of the image, {sides}; found {windows} and {stride}. Give a "
            "smaller window or a larger image."
        )
    plain = image.as_subclass(Tensor).float().to(encoder.device)
    whole = encoder.embed(plain[None])[0].double()
    length = float(whole.norm())
    if not length > 0 or not torch.isfinite(whole).all():
        raise ValueError(
            f"image: its features must be finite and not all 0; found length {length:g}. Look at the image."
        )
    counts = [(s - w) // stride + 1 for s, w in zip(sides, windows, strict=True)]
    corners = torch.cartesian_prod(*(torch.arange(n) * stride for n in counts)).reshape(-1, len(sides))
    cover = torch.as_tensor(fill, dtype=torch.float32, device=plain.device).reshape(-1, *([1] * len(sides)))
    buffer = plain[None].repeat(min(batch_size, len(corners)), *([1] * plain.ndim))
    changes = []
    for some in track(corners.split(batch_size), "batches of windows"):
        places = [tuple(slice(int(c), int(c) + w) for c, w in zip(corner, windows, strict=True)) for corner in some]
        for row, place in enumerate(places):
            buffer[(row, slice(None), *place)] = cover
        changes.append((encoder.embed(buffer[: len(some)]).double() - whole).norm(dim=1) / length)
        for row, place in enumerate(places):  # uncovered again: no copy of the image a window
            buffer[(row, slice(None), *place)] = plain[(slice(None), *place)]
    field = torch.cat(changes).reshape(counts).numpy()
    if not np.isfinite(field).all():
        raise ValueError("image: the features of covered images must be finite; found NaN. Look at the encoder.")
    heatmap = _covered(_spread(field, stride), windows)
    return Saliency(heatmap, field, attentive_diffusion(heatmap))


def attentive_diffusion(heatmap: np.ndarray) -> float:
    """The share of pixels above the mean; 0 of a constant map."""
    span = float(heatmap.max() - heatmap.min())
    if span <= 1e-12 * max(1e-30, abs(float(heatmap.max()))):
        return 0.0
    return float((heatmap > heatmap.mean()).mean())


def _spread(field: np.ndarray, stride: int) -> np.ndarray:
    for axis in range(field.ndim) if stride > 1 else ():
        field = field.repeat(stride, axis)
    return field


def _covered(field: np.ndarray, windows: Sequence[int]) -> np.ndarray:
    """Mean over the windows that cover a pixel, of the pixels that all `window` places cover, by running sums."""
    for axis, window in enumerate(windows):
        if field.shape[axis] < window:
            field = np.concatenate([field] + [np.take(field, [-1], axis)] * (window - field.shape[axis]), axis)
        sums = np.cumsum(field, axis=axis)
        first = np.take(sums, [window - 1], axis)
        rest = np.take(sums, range(window, field.shape[axis]), axis) - np.take(
            sums, range(field.shape[axis] - window), axis
        )
        field = np.concatenate([first, rest], axis) / window
    return field
