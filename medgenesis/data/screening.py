"""One pass over the volumes before training: each is read once, checked, and kept in the cache."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from monai.data import Dataset

from medgenesis.data.datalists import load_datalist
from medgenesis.data.handing_over import unpacked
from medgenesis.data.reading import read_in_order
from medgenesis.data.remembered import RememberedChecks
from medgenesis.data.volume_check import Reading, Readings, VolumeCheck
from medgenesis.distributed import Flag
from medgenesis.errors import VolumeError
from medgenesis.progress import track
from medgenesis.storage.tables import write_table

logger = logging.getLogger(__name__)

_MOST_PADDING = 0.5  # of a cube, before it is a warning
_COLUMNS = ("file", "cube", "shape", "spacing_mm", "accepted", "padding", "error")


def screen_volumes(
    records: Sequence[dict],
    preprocessing: Callable[[dict], dict] | None = None,
    crop: Callable | None = None,
    *,
    volumes: Dataset | None = None,
    on_error: str = "stop",
    draws: int = 50,
    seed: int = 0,
    report: str | Path | None = None,
    trials: Sequence[Callable[[dict], dict]] = (),
    num_workers: int = 0,
    cache_dir: str | Path | None = None,
) -> list[dict]:
    """Read every volume, draw some cubes from it, and return the records that can be used.

    Args:
        records: with `image` and what else the preprocessing reads.
        preprocessing: from a record to a volume in [0, 1].
        crop: its rule must accept at least one of `draws` cubes of each volume; None checks the reading alone.
        volumes: the prepared volumes of the records, as `cached_volumes` gives them, whose cache this pass fills; None
            prepares them by `preprocessing` and keeps none.
        on_error: "stop" raises the first error, "skip" leaves the volume out with a warning.
        draws: cubes drawn from each volume.
        seed: of the drawing.
        report: CSV file (file, cube, shape, spacing in mm, accepted share, error), written when the pass is over,
            also when it stops.
        trials: random transforms of the whole sample, one for each kind of sample, tried on the first volume of each
            shape and spacing, so that one that is too small for them is known before training.
        num_workers: processes that read; the result is the same with any number.
        cache_dir: folder that remembers which volumes were found good, so that they are not read again at the next
            start unless the cache lacks them; None remembers nothing.

    Raises:
        ValueError: another `on_error`, or neither `preprocessing` nor `volumes`.
        VolumeError: a volume that cannot be used (`on_error="stop"`), or none that can; a process that reads was
            killed.
        IntensityRangeError: likewise, for values that do not fit the preset.
    """
    if volumes is None:
        if preprocessing is None:
            raise ValueError("`screen_volumes`: needs `preprocessing` or `volumes`; found neither. Give one of them.")
        volumes = Dataset(list(records), preprocessing)
    check = VolumeCheck(crop, trials, draws, seed)
    found = find_usable(
        records, volumes, check, on_error=on_error, report=report, num_workers=num_workers, cache_dir=cache_dir
    )
    return [records[i] for i in found]


def find_usable(
    records: Sequence[dict],
    volumes: Dataset,
    check: VolumeCheck,
    *,
    on_error: str = "stop",
    report: str | Path | None = None,
    num_workers: int = 0,
    cache_dir: str | Path | None = None,
) -> list[int]:
    """The places of the records that can be used; arguments and errors as in `screen_volumes`."""
    if on_error not in ("stop", "skip"):
        raise ValueError(f'`on_error`: must be "stop" or "skip"; found {on_error!r}. Choose one of them.')
    remembered = None if cache_dir is None else RememberedChecks(cache_dir, volumes.transform, check)
    tally = _Tally(check, on_error)
    results = _readings(records, volumes, check, num_workers, remembered)
    try:
        with closing(results):
            for i, (record, reading) in enumerate(zip(records, results, strict=True)):
                row = {"file": record.get("image", i), "cube": record.get("cube", "")}
                if tally.is_good(i, row, reading) and remembered is not None:
                    remembered.add(remembered.key(i, record), reading.row)
    finally:
        if remembered is not None:
            remembered.save()
        if report is not None:
            write_table(report, tally.rows, _COLUMNS, decimals="")  # shares in full
    tally.summarise(len(records))
    return tally.good


def check_share(
    records: Sequence[dict],
    volumes: Dataset,
    check: VolumeCheck,
    share: int,
    shares: int,
    cache_dir: str | Path,
    stop: Flag | Event,
    on_error: str = "stop",
    num_workers: int = 0,
) -> None:
    """Read and remember every `shares`-th volume from number `share` on, so that `find_usable` need not.

    Others may read the other shares at the same time, into the same folder. What is wrong with a volume is left to
    `find_usable`, which reads it again; "stop" ends this share there, and raises the flag `stop`, which ends those of
    the others at their next volume. Arguments as in `screen_volumes`.
    """
    remembered = RememberedChecks(cache_dir, volumes.transform, check, share=f"{share + 1}_of_{shares}")
    if remembered.path is None:  # `find_usable` would read them again
        return
    places = range(share, len(records), shares)
    logger.info("%d of %d volumes are read by machine %d of %d", len(places), len(records), share + 1, shares)
    try:
        with closing(_readings(records, volumes, check, num_workers, remembered, places)) as results:
            for i, reading in zip(places, results, strict=True):
                if reading.error is None and reading.refused is None:
                    remembered.add(remembered.key(i, records[i]), reading.row)
                elif on_error == "stop":
                    stop.set()
                if stop.is_set():
                    return
    finally:
        remembered.save()


def _readings(
    records: Sequence[dict],
    volumes: Dataset,
    check: VolumeCheck,
    num_workers: int,
    remembered: RememberedChecks | None,
    places: Sequence[int] | None = None,
) -> Iterator[Reading]:
    """What is found of each record, or of those at `places`, in their order.

    What other processes have prepared goes into the cache.
    """
    places = range(len(records)) if places is None else places
    known: dict[int, dict[str, Any]] = {}
    if remembered is not None:
        filled = getattr(volumes, "is_filled", lambda i: True)
        rows = ((i, remembered.get(remembered.key(i, records[i]))) for i in places)
        known = {i: row for i, row in rows if row is not None and filled(i)}
    files = [str(record.get("image", i)) for i, record in enumerate(records)]
    left = [i for i in places if i not in known]
    ahead = 1 if hasattr(volumes, "hold") else 2  # what is to be held comes with its voxels
    results = read_in_order(Readings(volumes, check, files), left, num_workers, files, ahead)
    with closing(results):
        for i in track(places, "volumes read and checked") if left else places:
            if i in known:
                yield Reading(known[i])
                continue
            reading = next(results)
            if reading.item is not None:
                volumes.hold(i, unpacked(reading.item))
                reading = reading._replace(item=None)
            yield reading


class _Tally:
    """What the pass has found so far."""

    def __init__(self, check: VolumeCheck, on_error: str) -> None:
        self.check, self.on_error = check, on_error
        self.rows: list[dict] = []
        self.good: list[int] = []
        self.skipped: list[str] = []
        self._tried: set[tuple[str, str]] = set()

    def is_good(self, i: int, row: dict, reading: Reading) -> bool:
        """Whether volume i can be used; raises why not if the pass is to stop."""
        row.update(reading.row)
        self.rows.append(row)
        error = reading.error
        if error is None and reading.kind not in self._tried:  # else an earlier volume has stood the trial
            error = reading.refused
        if error is None:
            self._tried.add(reading.kind)
            self.good.append(i)
            return True
        row["error"] = str(error)
        if self.on_error == "stop":
            raise error
        self.skipped.append(str(error))
        logger.warning("skipped %d: %s", len(self.skipped), error)
        return False

    def summarise(self, count: int) -> None:
        """Log how many volumes can be used; none is an error."""
        if not count:
            raise VolumeError(
                "records: must name volumes; found none: a section of the datalist is empty. Move patients there."
            )
        if not self.good:
            first = f"The first error: {self.skipped[0]}" if self.skipped else "Give other volumes."
            raise VolumeError(f"records: must name volumes that can be used; found none of {count}. {first}")
        shares = [row["accepted"] for row in self.rows if "accepted" in row and "error" not in row]
        accepted = f", cubes accepted: median {np.median(shares):.0%}, least {min(shares):.0%}" if shares else ""
        padding = [row.get("padding", 0.0) for row in self.rows if "error" not in row]
        if padding and max(padding) > 0:
            accepted += f", padding in them: median {np.median(padding):.0%}, most {max(padding):.0%}"
        if padding and np.median(padding) > _MOST_PADDING:
            logger.warning(
                "cubes are mostly padding, median %.0f %%: the volumes are smaller than the cube. Choose a smaller "
                "cube_size, or a finer spacing_mm",
                100 * np.median(padding),
            )
        good, skipped = len(self.good), len(self.skipped)
        logger.info("%d of %d volumes can be used, %d skipped%s", good, count, skipped, accepted)


def load_usable(
    datalist: str | Path, section: str, preprocessing: Callable[[dict], dict], on_error: str = "stop"
) -> list[dict]:
    """The records of a section whose files can be read and prepared, which reads each volume once more than needed.

    Deprecated: `ScreenedDataset` and `StreamedDataset` check the volumes as they read them.
    """
    warnings.warn(
        "medgenesis.data.load_usable reads every volume and keeps none: give the records of load_datalist to "
        "ScreenedDataset or StreamedDataset, which check them; it goes with medgenesis 0.3",
        FutureWarning,
        stacklevel=2,
    )
    records = load_datalist(datalist, section, on_error)
    if not records:
        logger.warning("%s: section %r is empty", datalist, section)
        return []
    return screen_volumes(records, preprocessing, on_error=on_error)
