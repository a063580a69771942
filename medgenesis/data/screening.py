"""Every volume read once before training starts, so that no bad file ends a run that has gone on for hours."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from medgenesis.data.crops import RandAcceptedCropd
from medgenesis.data.datalists import load_datalist
from medgenesis.data.pipeline import find_domain_error
from medgenesis.errors import VolumeError
from medgenesis.storage.tables import write_table

logger = logging.getLogger(__name__)

_COLUMNS = ("file", "cube", "shape", "spacing_mm", "accepted", "error")


def screen_volumes(
    records: Sequence[dict],
    preprocessing: Callable[[dict], dict] | None = None,
    crop: RandAcceptedCropd | None = None,
    *,
    load: Callable[[int], dict] | None = None,
    on_error: str = "stop",
    draws: int = 50,
    seed: int = 0,
    report: str | Path | None = None,
    trials: Sequence[Callable[[dict], dict]] = (),
) -> list[dict]:
    """Read every volume, draw some cubes from it, and return the records that can be used.

    Args:
        records: with `image` and what else the preprocessing reads.
        preprocessing: from a record to a volume in [0, 1].
        crop: its rule must accept at least one of `draws` cubes of each volume; None checks the reading alone.
        load: gives the preprocessed item of record i instead of `preprocessing`: a cached data set, which this pass
            then fills.
        on_error: "stop" raises the first error, "skip" leaves the volume out with a warning.
        draws: cubes drawn from each volume.
        seed: of the drawing.
        report: CSV file (file, cube, shape, spacing in mm, accepted share, error), written when the pass is over,
            also when it stops.
        trials: random transforms of the whole sample, one for each kind of sample, tried on the first volume of each
            shape and spacing, so that one that is too small for them is known before training.

    Raises:
        ValueError: another `on_error`, or neither `preprocessing` nor `load`.
        VolumeError: a volume that cannot be used (`on_error="stop"`), or none that can.
        IntensityRangeError: likewise, for values that do not fit the preset.
    """
    if on_error not in ("stop", "skip"):
        raise ValueError(f'`on_error` must be "stop" or "skip", got {on_error!r}')
    if load is None:
        if preprocessing is None:
            raise ValueError("`screen_volumes` needs `preprocessing` or `load`")
        load = lambda i: preprocessing(records[i])  # noqa: E731
    good, rows, skipped = [], [], []
    tried: set[tuple] = set()
    try:
        for i, record in enumerate(records):
            row = {"file": record.get("image", i), "cube": record.get("cube", "")}
            rows.append(row)
            try:
                item, rng = load(i), np.random.RandomState([seed, i])
                _screen_one(row, item, crop, draws, rng)
                kind = (row["shape"], row["spacing_mm"])
                if kind not in tried:
                    for trial in trials:
                        _try_sample(row, item, trial, rng)
                    tried.add(kind)
                good.append(record)
            except Exception as error:
                cause = find_domain_error(error)
                if cause is None:
                    raise
                row["error"] = str(cause)
                if on_error == "stop":
                    raise cause from None
                skipped.append(str(cause))
                logger.warning("skipped %d: %s", len(skipped), cause)
    finally:
        if report is not None:
            write_table(report, rows, _COLUMNS, decimals="")  # shares in full
    _summarise(records, rows, good, skipped)
    return good


def load_usable(
    datalist: str | Path, section: str, preprocessing: Callable[[dict], dict], on_error: str = "stop"
) -> list[dict]:
    """The records of a section whose files can be read and prepared: `load_datalist`, then `screen_volumes`.

    An empty section gives an empty list, and a warning.

    Args:
        datalist: the list.
        section: "training", "validation" or "test".
        preprocessing: from a record to its volumes.
        on_error: "stop" at the first file that cannot be used, or "skip" it with a warning.

    Raises:
        DatalistError: as `load_datalist`.
        VolumeError: as `screen_volumes`.
        IntensityRangeError: as `screen_volumes`.
    """
    records = load_datalist(datalist, section, on_error)
    if not records:
        logger.warning("%s: section %r is empty", datalist, section)
        return []
    return screen_volumes(records, preprocessing, on_error=on_error)


def _screen_one(row: dict, item: dict, crop: RandAcceptedCropd | None, draws: int, rng: np.random.RandomState) -> None:
    volume = item["image" if crop is None else crop.keys[0]]
    row["shape"] = "x".join(str(side) for side in volume.shape[1:])
    row["spacing_mm"] = "x".join(f"{float(value):.4g}" for value in getattr(volume, "pixdim", ()))
    if crop is None:
        return
    row["accepted"] = crop.acceptance(volume, draws, rng)
    if row["accepted"] == 0:
        raise VolumeError(
            f"{row['file']}: {crop.criterion} accepts none of {draws} random cubes of a volume of {row['shape']} "
            "voxels: choose a smaller cube, a smaller `border`, or the rule 'foreground' or 'any'"
        )


def _try_sample(row: dict, item: dict, trial: Callable[[dict], dict], rng: np.random.RandomState) -> None:
    trial.set_random_state(seed=rng.randint(2**31))
    try:
        trial(item)
    except Exception as error:
        raise_with_file(error, str(row["file"]))


def raise_with_file(error: Exception, file: str) -> NoReturn:
    """Raise what a transform has raised: an error of this domain with the file that it was of, others as they are."""
    cause = find_domain_error(error)
    if cause is None or file in str(cause):
        raise error
    raise type(cause)(f"{file}: {cause}") from error


def _summarise(records: Sequence[dict], rows: list[dict], good: list[dict], skipped: list[str]) -> None:
    if not records:
        raise VolumeError("no volume is given: a section of the datalist is empty: move some patients there")
    if not good:
        first = f" The first error: {skipped[0]}" if skipped else ""
        raise VolumeError(f"none of {len(records)} volumes can be used.{first}")
    shares = [row["accepted"] for row in rows if "accepted" in row and "error" not in row]
    accepted = f", cubes accepted: median {np.median(shares):.0%}, least {min(shares):.0%}" if shares else ""
    logger.info("%d of %d volumes can be used, %d skipped%s", len(good), len(records), len(skipped), accepted)
