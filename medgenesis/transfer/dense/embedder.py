"""DenseEmbedder: what a frozen backbone makes of the places of an image or a volume."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from medgenesis.errors import VolumeError
from medgenesis.renamed import renamed_arguments
from medgenesis.transfer.geometry import resized


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Embeddings on a grid of places of one image or volume.

    Attributes:
        vectors: (C, rows, columns), of a volume (C, X, Y, Z); features as the backbone gives them.
        x: places along x, pixels or voxels: of an image those of the columns.
        y: along y: of an image those of the rows.
        z: along z; None of an image.
    """

    vectors: Tensor
    x: Tensor
    y: Tensor
    z: Tensor | None = None

    @property
    def points(self) -> Tensor:
        """The places (N, 2) as (x, y), row by row; of a volume (N, 3) as (x, y, z); in the order of the vectors."""
        if self.z is not None:
            return torch.cartesian_prod(self.x, self.y, self.z)
        return torch.cartesian_prod(self.y, self.x).flip(1)


class DenseEmbedder:
    """Embed places of images or volumes: the backbone's features of the window around each, resized to what the
    backbone was trained on.

    Places of an image (k, H, W) are (x, y), column and row in pixels; of a volume (k, X, Y, Z) they are (x, y, z) in
    voxels, in the order of its axes. 0 is the middle of the first pixel. Beyond the image is 0.

    Args:
        backbone: slabs (B, k, H, W), or volumes (B, k, X, Y, Z), -> features (B, C), as `ResNet25D`; with the method's
            head behind it (`nn.Sequential(backbone, head)`), or no network at all (`RawPixels`). Used in evaluation
            mode, unchanged.
        window: side of the window around a place, pixels or voxels of the image; or a side for each axis.
        size: side that a window is resized to, or one for each axis; None leaves it as it is.
        batch_size: windows at a time.

    Raises:
        ValueError: a setting below 1; (on use) an image that is not (k, H, W) or (k, X, Y, Z), or a place outside of
            it.
        VolumeError: (on use) features that are not finite: they have no place among others.

    References:
        Hosseinzadeh Taher et al., Adam, DART at MICCAI 2023 (arXiv 2309.15358), section 3: "DenseEmbedder", Adam's
        embeddings.

    Notes:
        Window by window, not from the maps of one pass over the image: only pooled features of whole patches were
        trained to mean anything, the last feature map has one value for 32 pixels, and any backbone (a control) can be
        asked the same. A map costs one pass a place.
    """

    @renamed_arguments(trunk="backbone")
    def __init__(
        self,
        backbone: nn.Module,
        window: int | Sequence[int],
        size: int | Sequence[int] | None = None,
        *,
        batch_size: int = 64,
    ) -> None:
        self.backbone, self.window = backbone, window
        self.size, self.batch_size = window if size is None else size, batch_size
        if min(*_sides(window, 2), *_sides(self.size, 2), batch_size) < 1:
            raise ValueError(
                f"window, size, batch_size: must be at least 1; found {window}, {size}, {batch_size}. Give larger "
                "numbers."
            )

    def windows(self, dims: int) -> tuple[int, ...]:
        """Sides of a window in images of so many spatial axes."""
        return _sides(self.window, dims)

    @torch.no_grad()
    def embed(self, patches: Tensor, names: Sequence[str] = ()) -> Tensor:
        """Embed patches (N, k, *spatial) of any one shape, each resized to the backbone's: (N, C) on the processor.
        An error names the patch's image, or its number where there are no names (N)."""
        device = next((weight.device for weight in self.backbone.parameters()), patches.device)
        size = _sides(self.size, patches.ndim - 2)
        vectors = []
        with eval_mode(self.backbone):
            for some in patches.split(self.batch_size):
                some = some.to(device, torch.float32)
                if tuple(some.shape[2:]) != size:
                    flat = some.ndim == 4
                    some = F.interpolate(some, size, mode="bilinear", antialias=True) if flat else resized(some, size)
                vectors.append(self.backbone(some).float().cpu())
        found = torch.cat(vectors)
        lost = (~found.isfinite()).flatten(1).any(dim=1).nonzero()
        if len(lost):
            name = names[int(lost[0])] if names else f"patch {int(lost[0]) + 1}"
            raise VolumeError(
                f"{name}: its features must be finite; found NaN or infinity. Look at the image, or leave it out."
            )
        return found

    def at(self, image: Tensor, points: Tensor, name: str = "image") -> Tensor:
        """Embed places (N, dims) of an image: (N, C); the middle of a window is its place to half a pixel. Errors on
        features call the image by `name`."""
        points = torch.as_tensor(points, dtype=torch.float64)
        _check(image, points)
        image = torch.as_tensor(image).as_subclass(Tensor)
        window = self.windows(image.ndim - 1)
        padded = F.pad(image, [side for side in reversed(window) for _ in (0, 1)])
        sides = torch.tensor(window)
        starts = (in_axis_order(points) - (sides - 1) / 2 + 0.5).floor().long() + sides
        vectors = []
        for some in starts.split(self.batch_size):  # all windows of a map at once would take gigabytes
            places = [
                tuple(slice(start, start + side) for start, side in zip(one, window, strict=True))
                for one in some.tolist()
            ]
            windows = torch.stack([padded[(slice(None), *place)] for place in places])
            vectors.append(self.embed(windows, [name] * len(windows)))
        return torch.cat(vectors)

    def map(self, image: Tensor, stride: int, name: str = "image") -> EmbeddingMap:
        """Embed an image every `stride` pixels along all axes, the grid in its middle; `name` as in `at`."""
        if stride < 1:
            raise ValueError(f"stride: must be at least 1 pixel; found {stride}. Give a larger one.")
        axes = [torch.arange((side - 1) % stride // 2, side, stride) for side in image.shape[1:]]
        vectors = self.at(image, in_axis_order(torch.cartesian_prod(*axes)), name)
        x, y, *z = axes if len(axes) == 3 else reversed(axes)
        return EmbeddingMap(vectors.T.reshape(-1, *map(len, axes)), x, y, *z)


def in_axis_order(points: Tensor) -> Tensor:
    """Places (N, dims) in the order of the image's axes, which of images are rows and columns; and back."""
    return points.flip(1) if points.shape[1] == 2 else points


def _sides(given: int | Sequence[int], dims: int) -> tuple[int, ...]:
    return (given,) * dims if isinstance(given, int) else tuple(given)


def _check(image: Tensor, points: Tensor) -> None:
    if image.ndim not in (3, 4) or 0 in image.shape:
        raise ValueError(
            f"image: must be a slab (k, H, W) or a volume (k, X, Y, Z); found shape {tuple(image.shape)}. Use RandSlab "
            "to cut one."
        )
    dims = image.ndim - 1
    if points.ndim != 2 or points.shape[1] != dims or len(points) == 0:
        raise ValueError(
            f"points: must be places (N, {dims}), at least one; found shape {tuple(points.shape)}. Give x and y of "
            "each, of volumes z too."
        )
    outside = points[~lie_in(image, points)]
    if len(outside):
        ends = ", ".join(f"{name} in 0 to {int(end) - 1}" for name, end in zip("xyz", _ends(image), strict=False))
        raise ValueError(
            f"points: must lie in the image, {ends}; found {outside[0].tolist()}. Give pixels of this image: where it "
            "was resized, the places must be too."
        )


def _ends(image: Tensor) -> Tensor:
    return in_axis_order(torch.tensor(image.shape[1:])[None])[0]


def lie_in(image: Tensor, points: Tensor) -> Tensor:
    """Which of the places (N, dims) are on a pixel of the image (k, *spatial), bool (N,)."""
    return ((points >= -0.5) & (points <= _ends(image) - 0.5)).all(dim=1)
