"""DenseEmbedder: what a frozen backbone makes of the places of an image."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from medgenesis.renamed import renamed_arguments


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Embeddings on a grid of places of one image.

    Attributes:
        vectors: (C, rows, columns), features as the backbone gives them.
        x: (columns,) places of the columns, pixels of the image.
        y: (rows,) places of the rows.
    """

    vectors: Tensor
    x: Tensor
    y: Tensor

    @property
    def points(self) -> Tensor:
        """The places (rows * columns, 2) as (x, y), row by row."""
        return torch.cartesian_prod(self.y, self.x).flip(1)


class DenseEmbedder:
    """Embed places of images: the backbone's features of the window around each, resized to what the backbone was
    trained on.

    Places are (x, y), column and row in pixels, (0, 0) the middle of the first pixel. Beyond the image is 0.

    Args:
        backbone: slabs (B, k, H, W) -> features (B, C), as `ResNet25D`; with the method's head behind it
            (`nn.Sequential(backbone, head)`), or no network at all (`RawPixels`). Used in evaluation mode, unchanged.
        window: side of the window around a place, pixels of the image.
        size: side that a window is resized to; None leaves it as it is.
        batch_size: windows at a time.

    Raises:
        ValueError: a setting below 1; (on use) an image that is not (k, H, W), or a place outside of it.

    References:
        Hosseinzadeh Taher et al., Adam, DART at MICCAI 2023 (arXiv 2309.15358), section 3: "DenseEmbedder", Adam's
        embeddings.

    Notes:
        Window by window, not from the maps of one pass over the image: only pooled features of whole patches were
        trained to mean anything, the last feature map has one value for 32 pixels, and any backbone (a control) can be
        asked the same. A map costs one pass a place.
    """

    @renamed_arguments(trunk="backbone")
    def __init__(self, backbone: nn.Module, window: int, size: int | None = None, *, batch_size: int = 64) -> None:
        self.backbone, self.window = backbone, window
        self.size, self.batch_size = window if size is None else size, batch_size
        if min(window, self.size, batch_size) < 1:
            raise ValueError(
                f"window, size, batch_size: must be at least 1; found {window}, {size}, {batch_size}. Give larger "
                "numbers."
            )

    @torch.no_grad()
    def embed(self, patches: Tensor) -> Tensor:
        """Embed patches (N, k, H, W) of any one shape, each resized to the backbone's: (N, C) on the processor."""
        device = next((weight.device for weight in self.backbone.parameters()), patches.device)
        vectors = []
        with eval_mode(self.backbone):
            for some in patches.split(self.batch_size):
                some = some.to(device, torch.float32)
                if some.shape[2:] != (self.size, self.size):
                    some = F.interpolate(some, (self.size, self.size), mode="bilinear", antialias=True)
                vectors.append(self.backbone(some).float().cpu())
        return torch.cat(vectors)

    def at(self, image: Tensor, points: Tensor) -> Tensor:
        """Embed places (N, 2) of an image (k, H, W): (N, C); the middle of a window is its place to half a pixel."""
        points = torch.as_tensor(points, dtype=torch.float64)
        _check(image, points)
        image = torch.as_tensor(image).as_subclass(Tensor)
        padded = F.pad(image, [self.window] * 4)
        starts = (points - (self.window - 1) / 2 + 0.5).floor().long() + self.window
        vectors = []
        for some in starts.split(self.batch_size):  # all windows of a map at once would take gigabytes
            windows = [padded[:, y : y + self.window, x : x + self.window] for x, y in some.tolist()]
            vectors.append(self.embed(torch.stack(windows)))
        return torch.cat(vectors)

    def map(self, image: Tensor, stride: int) -> EmbeddingMap:
        """Embed an image (k, H, W) every `stride` pixels, the grid in its middle."""
        if stride < 1:
            raise ValueError(f"stride: must be at least 1 pixel; found {stride}. Give a larger one.")
        y, x = (torch.arange((side - 1) % stride // 2, side, stride) for side in image.shape[-2:])
        grid = torch.cartesian_prod(y, x).flip(1)
        vectors = self.at(image, grid)
        return EmbeddingMap(vectors.T.reshape(-1, len(y), len(x)), x, y)


def _check(image: Tensor, points: Tensor) -> None:
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image: must be a slab (k, H, W); found shape {tuple(image.shape)}. Use RandSlab to cut one.")
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(
            f"points: must be places (N, 2), at least one; found shape {tuple(points.shape)}. Give x and y of each."
        )
    outside = points[~lie_in(image, points)]
    if len(outside):
        raise ValueError(
            f"points: must lie in the image, x in 0 to {image.shape[2] - 1} and y in 0 to {image.shape[1] - 1}; found "
            f"{outside[0].tolist()}. Give pixels of this image: where it was resized, the places must be too."
        )


def lie_in(image: Tensor, points: Tensor) -> Tensor:
    """Which of the places (N, 2) are on a pixel of the image (k, H, W), bool (N,)."""
    sides = torch.tensor([image.shape[2], image.shape[1]])
    return ((points >= -0.5) & (points <= sides - 0.5)).all(dim=1)
