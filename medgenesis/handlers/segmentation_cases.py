"""Each case of an evaluation in a table, with volumes and surface distances, and the worst ones drawn."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from PIL import Image
from torch import Tensor

from medgenesis.report import display_range, flat_image, three_planes
from medgenesis.report.case_summary import SUMMARY_COLUMNS, summarise_cases
from medgenesis.report.run_report import CASE_COLUMNS, WORST, mean_dice, write_run_report
from medgenesis.storage.atomic import replacing
from medgenesis.storage.tables import write_table

logger = logging.getLogger(__name__)

SURFACE_TOLERANCE = 2.0  # mm, or pixels
WORST_MAPS = {"found": "pred", "reference": "label"}
_LONGEST = 200  # pixels of a drawing's longest side
_DISTANCES = {"hausdorff_95": (compute_hausdorff_distance, {"percentile": 95})}
_DISTANCES["surface_distance"] = (compute_average_surface_distance, {"symmetric": True})


class SegmentationCases:
    """Measure and draw what an evaluator of label maps answers; for MONAI's `SupervisedEvaluator`.

    Its postprocessing must leave `pred` and `label` one-hot, (C, *spatial), class 0 the background. Everything is
    measured on the grid that it leaves them on. `cases.csv`: a row a case (its number in the section, from 1) and
    class, with Dice, the surface Dice (share of both surfaces that lies near the other), the 95th percentile of the
    Hausdorff distance and the mean surface distance both ways (mm, of 2D images pixels), the volumes found and of the
    reference (mL; of 2D images empty). A class that the reference lacks has neither Dice nor surface Dice; one that is
    missed has 0 of both; where one of the two lacks it there are no distances: such cells are empty. `summary.csv`: the
    mean of each measure and class with a 95 % interval over patients (`patient` of the records; else each case is one).

    Args:
        folder: receives `cases.csv`, `summary.csv`, `cases/*.png` (the worst), `cases/worst_*.nii.gz` (the worst
            volume, to scroll through) and `report.html`.
        title: heading of the report.
        names: of the classes, as far as they are known.
        tolerance: of the surface Dice, mm, of 2D images pixels.

    References:
        Nikolov et al., Clinically applicable segmentation, 2018 (arXiv 1809.04430): surface Dice.
    """

    def __init__(
        self,
        folder: str | Path,
        title: str = "Segmentation",
        names: Mapping[int, str] | None = None,
        tolerance: float = SURFACE_TOLERANCE,
    ) -> None:
        self.folder, self.title, self.names, self.tolerance = Path(folder), title, names or {}, tolerance
        self._rows: list[dict] = []
        self._patients: dict[int, str] = {}
        self._worst: list[tuple[float, int, np.ndarray]] = []
        self._volumes: tuple[int, dict[str, nib.Nifti1Image]] | None = None
        self._count = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._rows, self._patients, self._worst, self._count = [], {}, [], 0
        self._volumes = None

    def _measure(self, engine: Engine) -> None:
        records = engine.state.batch if isinstance(engine.state.batch, list) else ({} for _ in engine.state.output)
        for item, record in zip(engine.state.output, records, strict=True):
            self._count += 1
            if "patient" in record:
                self._patients[self._count] = str(record["patient"])
            rows = case_rows(item["pred"], item["label"], _spacing(item["image"]), self.tolerance)
            rows = [{"case": self._count, **row, "name": self.names.get(row["class"], "")} for row in rows]
            self._rows += rows
            mean = mean_dice(rows).get(self._count, 1.0)
            if item["image"].ndim == 4 and (not self._worst or mean < self._worst[0][0]):
                self._volumes = self._count, _volumes(item)
            if len(self._worst) < WORST or mean < self._worst[-1][0]:
                self._worst = [*self._worst, (mean, self._count, _drawn(item))]
                self._worst = sorted(self._worst, key=lambda one: one[:2])[:WORST]

    def _write(self, engine: Engine) -> None:
        if engine.state.rank != 0:
            return
        for old in (self.folder / "cases").glob("case_*.png"):
            old.unlink()
        for _, number, drawing in self._worst:
            with replacing(self.folder / "cases" / f"case_{number:04d}.png") as beside:
                Image.fromarray(drawing).save(beside)
        for old in (self.folder / "cases").glob("worst_*.nii.gz"):
            old.unlink()
        for name, volume in (self._volumes or (0, {}))[1].items():
            with replacing(self.folder / "cases" / f"worst_{name}.nii.gz") as beside:
                nib.save(volume, beside)
        write_table(self.folder / "cases.csv", self._rows, CASE_COLUMNS, decimals=".5g")
        summary = summarise_cases(self._rows, self._patients)
        write_table(self.folder / "summary.csv", summary, SUMMARY_COLUMNS, decimals=".5g")
        page = write_run_report(self.folder, self.title)
        logger.info("written: %s, %s, %s", self.folder / "cases.csv", self.folder / "summary.csv", page)


def case_rows(
    pred: Tensor, label: Tensor, spacing_mm: tuple[float, ...] | None, tolerance: float = SURFACE_TOLERANCE
) -> list[dict]:
    """A row of `cases.csv` a class, but for the background.

    Args:
        pred: one-hot (C, *spatial).
        label: likewise.
        spacing_mm: of the axes; None of a 2D image, which has none.
        tolerance: of the surface Dice, mm or pixels.
    """
    found, truth = (torch.as_tensor(one).detach().cpu().float() for one in (pred, label))
    dice = compute_dice(found[None], truth[None], include_background=False, ignore_empty=True)[0]
    measured = {"dice": dice}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are absent, which become empty cells
        near = compute_surface_dice(found[None], truth[None], [tolerance] * (len(truth) - 1), spacing=spacing_mm)[0]
        # as Dice: 0 where the class is missed, empty where the reference has none
        measured["surface_dice"] = torch.where(truth[1:].flatten(1).any(dim=1), near.nan_to_num(), torch.nan)
        for name, (measure, settings) in _DISTANCES.items():
            measured[name] = measure(
                found[None], truth[None], include_background=False, spacing=spacing_mm, **settings
            )[0]
    ml = None if spacing_mm is None else float(np.prod(spacing_mm)) / 1000
    volumes = {"found_ml": found, "reference_ml": truth}
    rows = []
    for index in range(1, len(truth)):
        row: dict = {"class": index, "unit": "pixels" if spacing_mm is None else "mm"}
        for name, values in measured.items():
            value = float(values[index - 1])
            row[name] = value if np.isfinite(value) else None
        row |= {name: None if ml is None else float(one[index].sum()) * ml for name, one in volumes.items()}
        rows.append(row)
    return rows


def _spacing(image: Tensor) -> tuple[float, ...] | None:
    return tuple(float(mm) for mm in image.pixdim) if image.ndim == 4 and hasattr(image, "pixdim") else None


def _volumes(item: dict) -> dict[str, nib.Nifti1Image]:
    """Image, answer and reference of a case, for the page's viewer."""
    affine = np.asarray(getattr(item["image"], "affine", np.eye(4)), dtype=float)
    grey = np.rint(display_range(np.asarray(item["image"][0].cpu())) * 255).astype(np.uint8)
    maps = {name: torch.as_tensor(item[key]).argmax(dim=0).cpu() for name, key in WORST_MAPS.items()}
    shown = {"image": grey, **{name: np.asarray(found).astype(np.uint8) for name, found in maps.items()}}
    return {name: nib.Nifti1Image(values, affine) for name, values in shown.items()}


def _drawn(item: dict) -> np.ndarray:
    volume = display_range(np.asarray(item["image"][0].cpu()))
    found, truth = (np.asarray(torch.as_tensor(item[key]).argmax(dim=0).cpu()) for key in ("pred", "label"))
    if volume.ndim == 2:
        return flat_image(volume, found, truth, longest=_LONGEST)
    spacing = _spacing(item["image"]) or (1, 1, 1)
    return three_planes(volume, found, truth, spacing, longest=_LONGEST, positions=True)
