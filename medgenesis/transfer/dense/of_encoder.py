"""Any encoder of the study as a dense embedder, and X-rays as it sees them."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from medgenesis.errors import VolumeError
from medgenesis.networks import global_average_pool
from medgenesis.transfer.dense.baselines import RawPixels
from medgenesis.transfer.dense.embedder import DenseEmbedder
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import ImageReading
from medgenesis.transfer.geometry import Geometry

_PIXELS = 32  # side of a window of raw intensities


class PooledEncoder(nn.Module):
    """An encoder's pooled features: (B, C, H, W) -> (B, d).

    Args:
        encoder: that gives maps or vectors.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        if isinstance(encoder.network, nn.Module):
            self.network = encoder.network  # whose device and mode are the module's

    def forward(self, x: Tensor) -> Tensor:
        return global_average_pool(self.encoder.maps(x))


def check_sees_xrays(encoder: Encoder) -> None:
    """Refuse an encoder of volumes, of no images, or of an input that is not square (ValueError)."""
    if encoder.dims == 3 or encoder.of_record is not None or len(set(encoder.size)) > 1:
        raise ValueError(
            f"{encoder.name}: must see square 2D images, to be asked about the places of X-rays; found "
            f"{'a table' if encoder.of_record is not None else f'{encoder.dims}D, {encoder.size}'}. Leave it out."
        )


def embedder_of(encoder: Encoder, window: int) -> DenseEmbedder:
    """An embedder of the windows of X-rays by an encoder; of the control `pixels` their correlation (`RawPixels`).

    Raises:
        ValueError: as `check_sees_xrays`.
    """
    check_sees_xrays(encoder)
    if encoder.told.get("control") == "pixels":
        return DenseEmbedder(RawPixels(), window, min(window, _PIXELS))
    return DenseEmbedder(PooledEncoder(encoder), window, encoder.size[0] if encoder.size else None)


def xrays_of(encoder: Encoder, records: Sequence[Mapping[str, Any]], intensity: Any = None) -> dict[str, Tensor]:
    """`image` of each record -> (C, H, W) in [0, 1] at its own resolution, rows first, with the encoder's channels.

    Raises:
        VolumeError: a volume, or an image that cannot be used.
    """
    read, found = ImageReading(encoder, intensity), {}
    for record in records:
        name = str(record["image"])
        image = read(record)
        if image.ndim != 3:
            raise VolumeError(
                f"{name}: must be an X-ray, for its places are asked about; found a volume. Leave it out."
            )
        found[name] = Geometry("whole").as_seen(image, encoder.channels, 2, name)[0].contiguous()
    return found
