"""An encoder as the transfer study asks it: what it is, what it expects, and the features that it gives."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from medgenesis.networks import bottleneck_features, global_average_pool
from medgenesis.storage.fingerprints import fingerprint
from medgenesis.transfer.geometry import Geometry

Features = Tensor | list[Tensor]


@dataclass(frozen=True, eq=False)
class Encoder:
    """One encoder, with what its images must be; its network is put in evaluation mode (running statistics).

    Args:
        name: in tables and files.
        network: batches (B, channels, *spatial) in [0, 1] -> vectors (B, d), a feature map, or several from shallow to
            deep. Its own input normalisation is part of it.
        dims: spatial axes of its input, 2 or 3; None: those of the images (controls).
        channels: of its input; a 2D network's are neighbouring slices of a volume, or an X-ray's equal slices. None:
            those of the images.
        size: sides of its input, pixels or voxels.
        intensity: preset of `ScaleIntensityPresetd` that it learnt with; None: that of the data set must be known.
        spacing_mm: of volumes; None: their own.
        geometry: how an image is brought to `size`; None: see `geometry_for`.
        of_record: of a control that looks at no image: from a record to its batch (1, d).
        told: what it is, for the results: plain data that names nobody.
    """

    name: str
    network: Callable[[Tensor], Features]
    dims: int | None
    channels: int | None
    size: tuple[int, ...]
    intensity: Any = None
    spacing_mm: Any = None
    geometry: Geometry | None = None
    of_record: Callable[[Mapping[str, Any]], Tensor] | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.network, nn.Module):
            self.network.eval()

    def geometry_for(self, image_dims: int) -> Geometry:
        """How images of so many spatial axes are brought to its size: as given, else `windows` of volumes that a 3D
        encoder sees, and a `crop` of all others."""
        return self.geometry or Geometry("windows" if self.dims == 3 and image_dims == 3 else "crop")

    def prepared(self, image: Tensor, name: str) -> Tensor:
        """The batch (n, channels, *size) of an image (C, *spatial) in [0, 1]; its feature is the mean over the n."""
        return self.geometry_for(image.ndim - 1)(image, self.size, self.channels, self.dims, name)

    @property
    def fingerprint(self) -> str:
        """Of the weights (of a function, of what was told and its answer to noise) and of what its input must be."""
        weights = self.network if isinstance(self.network, nn.Module) else None
        built = str(self.network) if weights is not None else ""  # also layers without weights: the normalisation
        shape = [self.dims, self.channels, list(self.size), self.intensity, self.spacing_mm]
        made = [dict(self.told), weights, type(self.network).__name__, built, shape]
        own = weights is None and self.dims is not None and "control" not in self.told
        return fingerprint([*made, self._answer] if own else made)

    @cached_property
    def _answer(self) -> str:
        """Fingerprint of what a function answers to noise: it may load weights that nothing else tells of."""
        noise = torch.rand(2, self.channels or 1, *self.size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            return fingerprint(self.maps(noise))

    def shown(self, intensity: Any = None) -> dict[str, Any]:
        """What features follow from, but for the data: its fingerprint, and how it is shown images, as plain data.

        Args:
            intensity: in place of that of its training.
        """
        told = {
            "encoder (fingerprint)": self.fingerprint,
            "geometry 2D": vars(self.geometry_for(2)),
            "geometry 3D": vars(self.geometry_for(3)),
            "size": self.size,
            "intensity": intensity if intensity is not None else self.intensity,
            "spacing_mm": self.spacing_mm,
        }
        return json.loads(json.dumps(told, default=str))

    def described(self, intensity: Any = None) -> dict[str, Any]:
        """What results tell of it: its name, what it is, and `shown`."""
        return {"name": self.name, **self.told, **self.shown(intensity)}

    @property
    def device(self) -> torch.device:
        """Of its weights."""
        weights = self.network.parameters() if isinstance(self.network, nn.Module) else iter(())
        return next((one.device for one in weights), torch.device("cpu"))

    def maps(self, batch: Tensor) -> Features:
        """What the network gives, on its own device; gradients as the caller says."""
        return self.network(batch.to(self.device))

    @torch.no_grad()
    def embed(self, batch: Tensor) -> Tensor:
        """Vectors (B, d) on the processor: the mean over the last feature map, or what the network has pooled.

        Raises:
            ValueError: the network gives something else.
        """
        found = bottleneck_features(self.maps(batch))
        vectors = (global_average_pool(found) if found.ndim else found).float().cpu()
        if vectors.ndim != 2 or len(vectors) != len(batch):
            raise ValueError(
                f"{self.name}: must give features (B, d), maps (B, C, *spatial) or a list of maps; found "
                f"{tuple(vectors.shape)} for a batch of {len(batch)}. Return one of them."
            )
        return vectors

    @torch.no_grad()
    def levels(self, batch: Tensor) -> list[Tensor]:
        """Feature maps (B, C, *spatial) from shallow to deep.

        Raises:
            ValueError: the network gives vectors alone.
        """
        found = self.maps(batch)
        maps = [found] if isinstance(found, Tensor) else list(found)
        if bottleneck_features(maps).ndim < 4:
            raise ValueError(
                f"{self.name}: must give feature maps to be asked about places; found vectors "
                f"{tuple(bottleneck_features(maps).shape)}. Give an encoder that returns its maps."
            )
        return [one.float() for one in maps]
