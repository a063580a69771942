"""Images and volumes at their own resolution as an encoder sees them, and where the places of their files lie there."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from medgenesis.data.landmarks import Landmarks
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.transfer.dense.embedder import lie_in
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import ImageReading
from medgenesis.transfer.geometry import Geometry


@dataclass(frozen=True, eq=False)
class SeenImages:
    """Images that are asked about their places, all of as many axes.

    Args:
        images: name (`name_of`) -> (C, H, W), rows first, or of a volume (C, X, Y, Z); in [0, 1].
        affines: of volumes, from a voxel of the file to one of what is seen, (4, 4).
        spacing: of volumes, mm of a voxel along x, y, z.
    """

    images: dict[str, Tensor]
    affines: dict[str, np.ndarray]
    spacing: dict[str, tuple[float, ...]]

    @property
    def dims(self) -> int:
        """Spatial axes, 2 or 3."""
        return next(iter(self.images.values())).ndim - 1

    def places(self, table: Landmarks, source: str | os.PathLike = "landmarks") -> Landmarks:
        """The landmarks of a table in pixels of the images, or voxels of the volumes, that are seen.

        Args:
            table: in pixels or voxels of the files.
            source: its file, for messages.

        Raises:
            DatalistError: a place without z in a volume, with z in an image, or outside of its image.
        """
        found: Landmarks = {}
        for name in self.images:
            for landmark, place in table.get(name, {}).items():
                if len(place) != self.dims:
                    raise DatalistError(
                        f"landmarks: must be {self.dims} numbers in this data set; found {place} of {landmark!r}. Give "
                        "x, y of images, and x, y, z of volumes."
                    )
                moved = self.affines[name] @ [*place, 1] if self.dims == 3 else place
                moved = tuple(map(float, moved[: self.dims]))
                if not lie_in(self.images[name], torch.tensor([moved], dtype=torch.float64)):
                    at = ", ".join(f"{axis} {value:g}" for axis, value in zip("xyz", place, strict=False))
                    raise DatalistError(
                        f"{source}: a landmark must lie in its image; found {landmark!r} of {name} at {at}. Correct "
                        "its row: pixels of the file, of volumes voxels, counted from 0."
                    )
                found.setdefault(name, {})[landmark] = moved
        return found


def name_of(record: Mapping[str, Any]) -> str:
    """What tells a record's image from others: its file, and the row or series in it."""
    return ", ".join([str(record["image"]), *(f"{key} {record[key]}" for key in ("cube", "series") if key in record)])


def seen_images(encoder: Encoder, records: Sequence[Mapping[str, Any]], intensity: Any = None) -> SeenImages:
    """Read the images of records, at their own resolution (volumes at the encoder's spacing, where it has one).

    Raises:
        VolumeError: an image that cannot be used, or that the encoder cannot see; images and volumes together.
    """
    read = ImageReading(encoder, intensity)
    images: dict[str, Tensor] = {}
    affines, spacing = {}, {}
    for record in records:
        name = name_of(record)
        image = read(record)
        solid, slabs = image.ndim == 4, image.ndim == 4 and encoder.dims == 2
        if slabs and len(image) != 1:
            raise VolumeError(f"{name}: must have one channel, to be seen as slabs; found {len(image)}. Leave it out.")
        channels, dims = (1, 3) if slabs else (encoder.channels, encoder.dims or image.ndim - 1)
        images[name] = Geometry("whole").as_seen(image, channels, dims, name)[0].contiguous()
        if images[name].ndim != next(iter(images.values())).ndim:
            raise VolumeError(
                f"{name}: must have as many axes as the others, {next(iter(images.values())).ndim - 1}; found "
                f"{image.ndim - 1}. Make two lists of images and of volumes."
            )
        if solid:
            own = image.affine.numpy() if isinstance(image, MetaTensor) else np.eye(4)
            before = torch.as_tensor(image.meta.get("original_affine", own)).numpy()
            affines[name] = np.linalg.inv(own) @ before
            spacing[name] = tuple(np.linalg.norm(own[:3, :3], axis=0).tolist())
    return SeenImages(images, affines, spacing)
