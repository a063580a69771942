"""What one volume must pass before it is learnt from: the same answer in any process, after any other volume."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch.utils.data
from monai.data import Dataset

from medgenesis.data.crop import Crop
from medgenesis.data.disk_cache import reader_for
from medgenesis.data.handing_over import InMemoryFile, packed
from medgenesis.data.pipeline import find_domain_error
from medgenesis.data.reading import in_worker
from medgenesis.errors import VolumeError


@dataclass(frozen=True)
class VolumeCheck:
    """The checks of one prepared volume beside those of its preprocessing.

    Args:
        crop: its rule must accept at least one of `draws` cubes; None asks for none.
        trials: random transforms of the whole sample, one for each kind of sample.
        draws: cubes drawn.
        seed: with the place of the volume in its list, the only source of randomness.
        also: (place in the list, item) -> None, raises what else is wrong.
    """

    crop: Crop | None = None
    trials: Sequence[Callable[[dict], dict]] = ()
    draws: int = 50
    seed: int = 0
    also: Callable[[int, dict[str, Any]], None] | None = None

    def measure(self, row: dict, item: dict, file: str, rng: np.random.RandomState) -> None:
        """Fill in the row of the report (shape, spacing, accepted share).

        Raises:
            VolumeError: no cube is accepted, or the volume is smaller than the cube.
        """
        volume = item["image" if self.crop is None else self.crop.keys[0]]
        row["shape"] = "x".join(str(side) for side in volume.shape[1:])
        row["spacing_mm"] = "x".join(f"{float(value):.4g}" for value in getattr(volume, "pixdim", ()))
        if self.crop is None:
            return
        row["accepted"] = self.crop.acceptance(volume, self.draws, rng)
        if hasattr(self.crop, "padding"):
            row["padding"] = self.crop.padding(volume)
        if row["accepted"] == 0:
            raise VolumeError(
                f"{file}: the crop criterion must accept one of {self.draws} random cubes at least; found that "
                f"{self.crop.criterion} accepts none of a volume of {row['shape']} voxels. Choose a smaller cube, a "
                "smaller `border`, or the criterion 'foreground' or 'any'."
            )


class Reading(NamedTuple):
    """What was found of one volume."""

    row: dict[str, Any]
    """Shape, spacing and share of accepted cubes, as far as they are known."""
    error: Exception | None = None
    """Why the volume cannot be used."""
    refused: Exception | None = None
    """Why a whole sample could not be made of it; counts for the first volume of its kind only."""
    item: bytes | InMemoryFile | None = None
    """The prepared volume, where it is to be kept in another process than the one that read it."""

    @property
    def kind(self) -> tuple[str, str]:
        """Shape and spacing: one volume of each kind is tried."""
        return self.row.get("shape", ""), self.row.get("spacing_mm", "")


class Readings(torch.utils.data.Dataset):
    """`readings[i]` reads, prepares and checks volume i, and keeps it where that is done in this process.

    Args:
        volumes: the prepared volumes: `volumes[i]`; where a cache in memory is to be filled, also `prepare`, `hold` and
            `holds`, as `HeldDataset`.
        check: what each must pass.
        files: their names, for messages.

    Notes:
        Trials are made on the first volume of each kind in each process. The first of all is among them, as every
        process reads in the order of the list, and what it gives alone counts: the number of processes plays no part.
    """

    def __init__(self, volumes: Dataset, check: VolumeCheck, files: Sequence[str]) -> None:
        self.volumes, self.check, self.files = volumes, check, files
        self._trials = [copy.deepcopy(trial) for trial in check.trials]  # their random state stays here
        self._tried: set[tuple[str, str]] = set()
        self._read = getattr(volumes, "prepare", None) or reader_for(volumes, check.crop)

    def __getitem__(self, i: int) -> Reading:
        row: dict[str, Any] = {}
        rng = np.random.RandomState([self.check.seed, i])
        try:
            item = self._read(i)
            self.check.measure(row, item, self.files[i], rng)
            if self.check.also is not None:
                self.check.also(i, item)
        except Exception as error:
            return Reading(row, error=_domain_error(error))
        refused = self._try(i, item, Reading(row).kind, rng)
        return Reading(row, refused=refused, item=self._keep(i, item))

    def _try(self, i: int, item: dict, kind: tuple[str, str], rng: np.random.RandomState) -> Exception | None:
        if kind in self._tried:
            return None
        for trial in self._trials:
            trial.set_random_state(seed=rng.randint(2**31))
            try:
                trial(item)
            except Exception as error:
                return _domain_error(with_file(error, self.files[i]))
        self._tried.add(kind)
        return None

    def _keep(self, i: int, item: dict[str, Any]) -> bytes | InMemoryFile | None:
        if not hasattr(self.volumes, "hold") or not self.volumes.holds(i):
            return None
        if in_worker():
            return packed(item)
        self.volumes.hold(i, item)
        return None


def with_file(error: Exception, file: str) -> Exception:
    """The error of this domain that a transform has raised, with the file that it was of; others as they are."""
    cause = find_domain_error(error)
    if cause is None or file in str(cause):
        return error
    named = type(cause)(f"{file}: {cause}")
    named.__cause__ = error
    return named


def _domain_error(error: Exception) -> Exception:
    """Why the volume cannot be used, without the frames that hold it; what is not the volume's fault is raised."""
    cause = find_domain_error(error)
    if cause is None:
        raise error
    return type(cause)(str(cause))
