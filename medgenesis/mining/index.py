"""The first step of mining: each volume is read once, for its geometry and for a small copy of the whole of it."""

import json
import logging
import os.path
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining.geometry import VolumeInfo
from medgenesis.mining.whole_volumes import IndexedVolume, WholeVolumes, mined_record
from medgenesis.progress import track
from medgenesis.storage.atomic import replacing, write_text
from medgenesis.storage.fingerprints import transform_fingerprint

logger = logging.getLogger(__name__)

FORMAT = 1
FILE, COPIES = "index.json", "whole"
_SAVE_EVERY = 60.0  # seconds: what a killed run loses at most
_Noted = tuple[VolumeInfo, str]


@dataclass(frozen=True)
class VolumeIndex:
    """What `index_volumes` has kept of the volumes that can be used.

    Args:
        folder: holds `index.json`.
        volumes: file, patient, section, shape, spacing and body box of each volume.
        settings: what these depend on beside the files: size of the copies, body threshold and preprocessing.
        stamps: of the files, which change when a file does.
        copies: holds the small copies, `<stamp>.npy`; None: `whole` in the folder.
    """

    folder: Path
    volumes: list[VolumeInfo]
    settings: dict[str, Any] = field(default_factory=dict)
    stamps: list[str] = field(default_factory=list)
    copies: Path | None = None

    def __post_init__(self) -> None:
        stamp_of = {volume.image: stamp for volume, stamp in zip(self.volumes, self.stamps, strict=True)}
        object.__setattr__(self, "_stamp_of", stamp_of)

    @property
    def records(self) -> list[dict[str, str]]:
        """`image`, `patient` and `section` of each volume."""
        return [mined_record(vars(volume)) for volume in self.volumes]

    def read(self, i: int) -> IndexedVolume:
        """Volume i as it was kept; only the small copy is read (DatalistError: absent or damaged)."""
        return IndexedVolume(self.volumes[i], self.stamps[i], self._copy(self.stamps[i]))

    def whole(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record with the small copy of its volume in place of the file name: the `preprocessing` of a data set.

        Raises:
            DatalistError: a volume that is not in the index, or a copy that is absent or damaged.
        """
        image = os.path.normpath(Path(record["image"]).absolute())
        if image not in self._stamp_of:
            raise DatalistError(
                f"{image}: must be in {self.folder / FILE}; found no such image. Take the records of the index."
            )
        return {**record, "image": self._copy(self._stamp_of[image])}

    def save(self) -> None:
        """Write `index.json`, whole or not at all (OutputError: it cannot be written)."""
        rows = [{**asdict(one), "stamp": stamp} for one, stamp in zip(self.volumes, self.stamps, strict=True)]
        lines = ",\n".join(json.dumps(row) for row in rows)
        write_text(
            self.folder / FILE,
            f'{{"format": {FORMAT}, "settings": {json.dumps(self.settings)}, "volumes": [\n{lines}\n]}}\n',
        )

    @classmethod
    def load(cls, folder: str | Path, copies: Path | None = None) -> "VolumeIndex":
        """Read what `save` wrote (DatalistError: absent, damaged, or of a newer format)."""
        path = Path(folder) / FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            newer = found["format"] > FORMAT
            stamps = [] if newer else [row.pop("stamp") for row in found["volumes"]]
            volumes = [] if newer else [VolumeInfo(**row) for row in found["volumes"]]
            settings = dict(found["settings"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatalistError(
                f"{path}: must be an index of volumes, but cannot be read ({error}). Remove it, and run again."
            ) from error
        if newer:
            raise DatalistError(
                f"{path}: its format must be at most {FORMAT}; found {found['format']}. Update medgenesis."
            )
        return cls(path.parent, volumes, settings, stamps, copies)

    def _copy(self, stamp: str) -> torch.Tensor:
        path = _copy_path(self.copies or self.folder / COPIES, stamp)
        try:
            return torch.from_numpy(np.load(path))
        except (OSError, ValueError, EOFError) as error:
            raise DatalistError(
                f"{path}: must be the small copy of a volume, but cannot be read ({error}). Remove "
                f"{self.folder / FILE}, and run again."
            ) from error


def index_volumes(
    dataset: Dataset,
    folder: str | Path,
    size: int | Sequence[int] = (128, 128, 64),
    *,
    body_threshold: float = 0.1,
    on_error: str = "stop",
    places: Sequence[int] | None = None,
    copies: Path | None = None,
) -> VolumeIndex:
    """Read each volume once; keep its shape, spacing and body box, and a small copy of the whole of it.

    Args:
        dataset: as of `WholeVolumes`, like the next ones but `folder`.
        folder: receives `index.json` and `whole/`. What they hold already, of unchanged files and by the same
            settings, is not read again. `index.json` is written at the end, every minute, and when the run is stopped.
        size: voxels (X, Y, Z) of the small copies: 4 MiB a volume of one channel at the default.
        body_threshold: above it is body.
        on_error: "stop" or "skip".
        places: of the volumes to read, a part of the data set; it may hold none that can be used. None: all.
        copies: folder of the small copies; None: `whole` in the folder.

    Returns:
        The index, in the order of the data set, without the volumes that were skipped.

    Raises:
        ValueError: a setting out of its range, or a preprocessing that cannot be pickled.
        DatalistError: a record that cannot be mined.
        OutputError: a folder that cannot be written.
        VolumeError, IntensityRangeError: a volume that cannot be used (`on_error="stop"`), or none that can.

    Notes:
        One volume of full size is in memory at a time.
    """
    folder, volumes = Path(folder), WholeVolumes(dataset, size, body_threshold, on_error, places)
    kept_in = copies or folder / COPIES
    settings = {**volumes.settings, "preprocessing": transform_fingerprint(dataset.transform)}
    rows, count = _kept(folder, kept_in, settings, volumes), len(volumes.records)
    left, saved = [i for i in range(count) if i not in rows], time.monotonic()
    logger.info("index of %d volumes, of which %d are known", count, len(rows))
    bar = track(left, "index of volumes", count, done=len(rows))
    try:
        for i in bar:
            noted = _note(volumes, i, kept_in)
            rows |= {} if noted is None else {i: noted}
            if rows and time.monotonic() - saved > _SAVE_EVERY:
                _gathered(folder, rows, settings, copies).save()
                saved = time.monotonic()
    finally:
        bar.close()
        if rows or places is not None:
            _gathered(folder, rows, settings, copies).save()
    if not rows and places is None:
        raise VolumeError(
            f"dataset: must hold volumes that can be used; found none of {count}. See the warnings above."
        )
    if len(rows) < count:
        logger.warning("%d of %d volumes were used, %d skipped", len(rows), count, count - len(rows))
    return _gathered(folder, rows, settings, copies)


def known_rows(
    earlier: Any, path: Path, settings: Mapping[str, Any], volumes: VolumeIndex | WholeVolumes
) -> dict[int, tuple[int, VolumeInfo]]:
    """Row and geometry of the volumes that an earlier result holds already, by their number now.

    None, with a warning, where other settings made it.

    Args:
        earlier: with `settings`, `volumes` and `stamps`, as an index and a table of features have them.
        path: of its file, for the warning.
        settings: those of now.
        volumes: those of now.
    """
    differing = [name for name, value in settings.items() if earlier.settings.get(name) != value]
    if differing:
        logger.warning("%s: made with other %s, computed anew", path, " and ".join(differing))
        return {}
    row_of = {stamp: row for row, stamp in enumerate(earlier.stamps)}
    known = {}
    for i, (record, stamp) in enumerate(zip(volumes.records, volumes.stamps, strict=True)):
        if stamp in row_of:
            # patient and section are the list's affair: a new split needs no new pass
            info = replace(earlier.volumes[row_of[stamp]], patient=record["patient"], section=record["section"])
            known[i] = (row_of[stamp], info)
    return known


def _kept(folder: Path, copies: Path, settings: Mapping[str, Any], volumes: WholeVolumes) -> dict[int, _Noted]:
    """Geometry and stamp of the volumes that need not be read again, by their number."""
    if not (folder / FILE).exists():
        return {}
    try:
        earlier = VolumeIndex.load(folder)
    except DatalistError as error:
        logger.warning("%s", error)
        return {}
    known = known_rows(earlier, folder / FILE, settings, volumes)
    noted = {i: (info, earlier.stamps[row]) for i, (row, info) in known.items()}
    return {i: (info, stamp) for i, (info, stamp) in noted.items() if _copy_path(copies, stamp).exists()}


def _note(volumes: WholeVolumes, i: int, copies: Path) -> _Noted | None:
    """Read volume i and write its small copy; a function of its own, so that the volume is gone afterwards."""
    found = volumes.read(i)
    if found is None:
        return None
    with replacing(_copy_path(copies, found.stamp)) as beside:
        np.save(beside, found.whole.numpy(force=True))
    return found.info, found.stamp


def _gathered(folder: Path, rows: Mapping[int, _Noted], settings: dict[str, Any], copies: Path | None) -> VolumeIndex:
    ordered = [rows[i] for i in sorted(rows)]
    return VolumeIndex(folder, [info for info, _ in ordered], settings, [stamp for _, stamp in ordered], copies)


def _copy_path(copies: Path, stamp: str) -> Path:
    return copies / f"{stamp}.npy"
