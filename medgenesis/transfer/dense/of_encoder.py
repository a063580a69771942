"""Any encoder of the study as a dense embedder of images or volumes."""

from torch import Tensor, nn

from medgenesis.networks import global_average_pool
from medgenesis.transfer.dense.baselines import RawPixels
from medgenesis.transfer.dense.embedder import DenseEmbedder
from medgenesis.transfer.encoder import Encoder
from medgenesis.transforms.functional.slabs import to_display

_PIXELS = {2: 32, 3: 12}  # side of a window of raw intensities


class PooledEncoder(nn.Module):
    """An encoder's pooled features: (B, C, *spatial) -> (B, d); a 2D encoder sees windows of volumes (B, 1, X, Y, k) as
    slabs of k slices.

    Args:
        encoder: that gives maps or vectors.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        if isinstance(encoder.network, nn.Module):
            self.network = encoder.network  # whose device and mode are the module's

    def forward(self, x: Tensor) -> Tensor:
        if self.encoder.dims == 2 and x.ndim == 5:
            x = to_display(x[:, 0].movedim(-1, 1), 2).contiguous()
        return global_average_pool(self.encoder.maps(x))


def windows_of(encoder: Encoder, window: int, dims: int) -> tuple[int, ...]:
    """Sides of the windows that an encoder is shown of images of so many axes: in the proportions of its input, the
    longest `window`; of volumes that a 2D encoder sees as many slices as it has channels."""
    size = _input(encoder, dims)
    longest = max(size[:2] if encoder.dims == 2 else size, default=1)
    if encoder.dims == 2 and dims == 3:
        return (*(max(1, round(window * side / longest)) for side in size[:2]), size[2])
    return tuple(max(1, round(window * side / longest)) for side in size) or (window,) * dims


def embedder_of(encoder: Encoder, window: int, dims: int = 2, *, batch_size: int = 64) -> DenseEmbedder:
    """An embedder of windows by an encoder; of the control `pixels` their correlation (`RawPixels`).

    Args:
        encoder: 2D or 3D, or a control that sees images.
        window: longest side of a window, pixels or voxels.
        dims: spatial axes of the images: 2, or 3 of volumes.
        batch_size: windows at a time.

    Raises:
        ValueError: the encoder looks at no image, or is 3D and the images are not.
    """
    if encoder.of_record is not None or (encoder.dims == 3 and dims == 2):
        raise ValueError(
            f"{encoder.name}: must see {'images' if dims == 2 else 'volumes'}, to be asked about their places; found "
            f"{'a table' if encoder.of_record is not None else 'a 3D encoder'}. Leave it out."
        )
    if encoder.told.get("control") == "pixels":
        return DenseEmbedder(RawPixels(), window, min(window, _PIXELS[dims]), batch_size=batch_size)
    sides, size = windows_of(encoder, window, dims), _input(encoder, dims) or None
    return DenseEmbedder(PooledEncoder(encoder), sides, size, batch_size=batch_size)


def _input(encoder: Encoder, dims: int) -> tuple[int, ...]:
    """Its input in the order of the images' axes; empty of controls, which take any."""
    if encoder.dims == 2 and dims == 3:
        return (*reversed(encoder.size), encoder.channels or 1)  # columns are the volume's first axis
    return tuple(encoder.size)
