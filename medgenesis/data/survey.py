"""What a list holds, record by record, before anything is learnt from it: nothing stops at the first that is wrong."""

import logging
import warnings
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import torch
import torch.utils.data

from medgenesis.data.crop import Crop
from medgenesis.data.pipeline import find_domain_error
from medgenesis.data.reading import read_in_order
from medgenesis.data.volume_check import VolumeCheck
from medgenesis.errors import VolumeError
from medgenesis.progress import track
from medgenesis.storage.fingerprints import fingerprint

PERCENTILES = (5, 50, 95)
_SAMPLED = 1 << 20  # voxels from which percentiles are taken


class Surveyed(NamedTuple):
    """What was found of one record; no voxels but those of its drawing."""

    error: str | None = None
    """Why it cannot be used."""
    warnings: tuple[str, ...] = ()
    """What was said while it was read."""
    shape: tuple[int, ...] = ()
    """Voxels of the axes, as they are learnt from."""
    spacing_mm: tuple[float, ...] = ()
    """Likewise; of a 2D image nothing, for it has none."""
    axes: str = ""
    """Where the axes grow to in the file, "RAS" for example; of a 2D image nothing."""
    channels: int = 0
    content: str = ""
    """Fingerprint of the voxels: the same for a scan of another name, format or axis order."""
    percentiles: tuple[float, ...] = ()
    """The `PERCENTILES` of the scaled intensities, of a regular sample of voxels."""
    clipped: tuple[float, ...] = ()
    """Shares of the voxels at the lower and at the upper end of the scale; nothing where there is none."""
    labels: Mapping[int, int] | None = None
    """Voxels of each label as it is stored; None without a label map."""
    accepted: float | None = None
    """Share of random cubes that the crop criterion accepts; None where it was not asked."""
    drawing: np.ndarray | None = None
    """uint8 (H, W, 3), where one was asked for."""


def survey_records(
    records: Sequence[dict],
    load: Callable[[dict], dict],
    scale: Callable[[dict], dict] | None,
    *,
    draw: Callable[[dict], np.ndarray],
    drawn: Collection[int] = (),
    crop: Crop | None = None,
    num_workers: int = 0,
) -> Iterator[Surveyed]:
    """Read every record, one a process at a time, and yield what was found, in their order.

    Args:
        records: with file names, which may be absent.
        load: from a record to volumes, as `preprocessing(intensity=None, …)`.
        scale: of their intensities, as `ScaleIntensityPresetd`; None: `load` has normalised them,
            to no scale with ends.
        draw: from a scaled item to uint8 (H, W, 3).
        drawn: places of the records to draw.
        crop: its criterion must accept a cube of each volume; None asks for none.
        num_workers: processes that read; the result is the same with any number. With 2 or more, a file that kills its
            process is found as well.
    """
    survey = _Survey(list(records), load, scale, draw, frozenset(drawn), VolumeCheck(crop))
    results = _all_read(survey, num_workers)
    with closing(results):
        yield from track(results, "records read", total=len(records))


def _all_read(survey: "_Survey", num_workers: int) -> Iterator[Surveyed]:
    """Each record in its order; behind a killed process it goes on."""
    files, done = survey.files, 0
    while done < len(files):
        try:
            with closing(read_in_order(survey, range(done, len(files)), num_workers, files, ahead=2)) as results:
                for one in results:
                    yield one
                    done += 1
        except VolumeError:  # killed by this file or by one of the next, which the next round finds
            yield _read_apart(survey, done)
            done += 1


def _read_apart(survey: "_Survey", i: int) -> Surveyed:
    """What is found of a record by a process of its own."""
    try:
        with ProcessPoolExecutor(1) as pool:
            return pool.submit(survey.__getitem__, i).result()
    except BrokenProcessPool:
        rule = "the process that reads it must live; found it killed, by its content or for want of memory"
        return Surveyed(error=f"{survey.files[i]}: {rule}. Leave the file out, or convert it anew.")


class _Survey(torch.utils.data.Dataset):
    """`survey[i]` is what was found of record i."""

    def __init__(self, records: list[dict], load, scale, draw, drawn: frozenset[int], check: VolumeCheck) -> None:
        self.files = [str(record["image"]) for record in records]
        self.records, self.load, self.scale, self.draw = records, load, scale, draw
        self.drawn, self.check = drawn, check

    def __getitem__(self, i: int) -> Surveyed:
        found: dict[str, Any] = {}
        with _overheard() as said:
            try:
                self._measure(i, found)
            except Exception as error:  # a list is surveyed to its end, whatever one file does
                cause = find_domain_error(error)
                text = f"unexpected {type(error).__name__}, {error}" if cause is None else str(cause)
                files = [str(name) for name in np.atleast_1d(self.records[i]["image"])]
                found["error"] = text if any(file in text for file in files) else f"{files[0]}: {text}"
        return Surveyed(**found, warnings=tuple(dict.fromkeys(said)))

    def _measure(self, i: int, found: dict[str, Any]) -> None:
        item = self.load(self.records[i])
        image = item["image"]
        found |= {"shape": tuple(image.shape[1:]), "channels": image.shape[0], "content": _content(image)}
        if image.ndim == 4:
            found["spacing_mm"] = tuple(float(mm) for mm in image.pixdim)
            stored = image.meta.get("original_affine", image.affine)
            found["axes"] = "".join(letter or "?" for letter in nib.aff2axcodes(np.asarray(stored)))
        if "label" in item:
            found["labels"] = _label_counts(item["label"].numpy(force=True).reshape(-1))
        if self.scale is not None:
            item = self.scale(item)
        values = item["image"].numpy(force=True).reshape(-1)
        found["percentiles"] = tuple(np.percentile(values[:: -(-values.size // _SAMPLED)], PERCENTILES).tolist())
        if self.scale is not None:
            found["clipped"] = float((values <= 0).mean()), float((values >= 1).mean())
        if i in self.drawn:
            found["drawing"] = self.draw(item)
        row: dict[str, Any] = {}
        try:
            self.check.measure(row, item, str(self.records[i]["image"]), np.random.RandomState([self.check.seed, i]))
        finally:
            found["accepted"] = row.get("accepted")


def _content(image: torch.Tensor) -> str:
    return fingerprint(image.as_tensor() if hasattr(image, "as_tensor") else image)


def _label_counts(values: np.ndarray) -> dict[int, int]:
    """Voxels of each label, a part of the map at a time."""
    counts: dict[int, int] = {}
    for start in range(0, values.size, _SAMPLED):
        for value, count in zip(*np.unique(values[start : start + _SAMPLED], return_counts=True), strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(count)
    return dict(sorted(counts.items()))


@contextmanager
def _overheard() -> Generator[list[str], None, None]:
    """Collect the warnings of this package, and keep them from being said among the progress."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("medgenesis")
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield said
        said += [str(one.message) for one in caught]
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
