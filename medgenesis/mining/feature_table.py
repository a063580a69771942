"""The file of volume features: what discovery starts from."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.errors import DatalistError
from medgenesis.mining.volumes import VolumeInfo
from medgenesis.storage.atomic import replacing

FORMAT = 1


@dataclass(frozen=True)
class VolumeFeatures:
    """Feature vectors of volumes: what `discover` starts from.

    Args:
        vectors: (N, F) float32.
        volumes: of the N rows.
        settings: what the vectors depend on beside the files: size, batch size, weights and preprocessing.
        stamps: of the N files, which change when a file does.
    """

    vectors: np.ndarray
    volumes: list[VolumeInfo]
    settings: dict[str, Any] = field(default_factory=dict)
    stamps: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether several vectors are all the same, but for rounding: then any patient would be the nearest."""
        return len(self.vectors) > 1 and bool(np.ptp(self.vectors, axis=0).max() <= 1e-6 * np.abs(self.vectors).max())

    def save(self, path: str | Path) -> None:
        """Write the features as `.npz` (no pickle in it), whole or not at all.

        Raises:
            DatalistError: the file cannot be written.
        """
        about = {
            "format": FORMAT,
            "settings": self.settings,
            "volumes": [asdict(volume) for volume in self.volumes],
            "stamps": self.stamps,
        }
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        try:
            # an open file, because NumPy appends `.npz` to a name without it
            with replacing(path) as beside, beside.open("wb") as file:
                np.savez(file, vectors=self.vectors.astype(np.float32, copy=False), about=text)
        except OSError as error:
            raise DatalistError(
                f"{path}: the features cannot be written ({error}): choose another folder, or free the disk"
            ) from error

    @classmethod
    def load(cls, path: str | Path) -> "VolumeFeatures":
        """Read what `save` wrote.

        Raises:
            DatalistError: the file is absent, damaged, or of a newer format.
        """
        path = Path(path)
        if not path.is_file():
            raise DatalistError(f"{path}: no such file of volume features: check the path, or compute them first")
        try:
            with np.load(path, allow_pickle=False) as archive:
                vectors, about = archive["vectors"], json.loads(archive["about"].tobytes())
            if about["format"] > FORMAT:
                raise DatalistError(
                    f"{path}: its format is {about['format']}, this version reads up to {FORMAT}: update medgenesis"
                )
            volumes = [VolumeInfo(**row) for row in about["volumes"]]
            features = cls(vectors, volumes, about["settings"], about["stamps"])
        except DatalistError:
            raise
        except Exception as error:  # a damaged archive raises errors of zlib, zipfile, json and NumPy
            reason = str(error) or type(error).__name__
            raise DatalistError(f"{path}: cannot be read as volume features ({reason}): compute them anew") from error
        if vectors.ndim != 2 or not len(vectors) == len(volumes) == len(features.stamps):
            raise DatalistError(
                f"{path}: {vectors.shape} features of {len(volumes)} volumes with {len(features.stamps)} stamps do not "
                "go together: compute them anew"
            )
        return features
