"""The rows of the programme: CSV files that are only ever replaced whole, each of one set of settings."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.storage import fingerprint, read_table, write_table, write_text

COLUMNS = ("dataset", "method", "readout", "labels", "draw", "seed", "steps", "patient", "structure", "dice")
VERSION = 1  # of all that is kept (rows, weights, prepared images): one more where code changes what it is
READOUTS = ("finetuned", "frozen", "one_shot")
FOLDER = Path(__file__).parent / "rows"


@dataclass(frozen=True)
class Cell:
    """One network (or answer) of one draw of labelled patients, scored on all patients of a section.

    Args:
        dataset, method, readout: as in the rows.
        labels: labelled patients.
        draw: of these patients.
        seed: of the weights, pre-trained or not.
        steps: optimizer steps of the fine-tuning; 0 where there is none.
    """

    dataset: str
    method: str
    readout: str
    labels: int
    draw: int
    seed: int
    steps: int


class RowFile:
    """The rows of one (set, method, readout, labels, steps) and its settings, whose fingerprint is in the file's name.

    Rows of other settings are in a file of another name, so that they never mix; `settings/` says what they were.

    Args:
        folder: of the rows.
        cell: any of the file's cells.
        settings: all that decides a cell's rows beside draw and seed, plain data.
    """

    def __init__(self, folder: Path, cell: Cell, settings: Mapping[str, Any]) -> None:
        key = fingerprint(dict(settings))[:8]
        stem = f"{cell.dataset}-{cell.method}-{cell.readout}-k{cell.labels}-{cell.steps}"
        self.path, self.settings = folder / f"{stem}-{key}.csv", dict(settings)
        self.about = folder / "settings" / f"{key}.json"

    def read(self) -> list[dict[str, str]]:
        """The rows that are there."""
        return read_table(self.path) if self.path.exists() else []

    def has(self, cell: Cell) -> bool:
        """Whether the cell's rows are there: all of them, or none, as files are written whole."""
        return _key(asdict(cell)) in {_key(row) for row in self.read()}

    def add(self, cell: Cell, patients: Iterable[int], structures: Iterable[str], dice: np.ndarray) -> None:
        """Add a cell's rows, (patients, structures); NaN becomes an empty cell.

        Raises:
            ValueError: the cell is there already.
        """
        rows = self.read()
        if _key(asdict(cell)) in {_key(row) for row in rows}:
            raise ValueError(f"{self.path}: each cell must be added once; found {cell} there. Ask `has` before.")
        structures = list(structures)
        for patient, scores in zip(patients, dice, strict=True):
            for structure, score in zip(structures, scores, strict=True):
                value = "" if np.isnan(score) else f"{score:.4f}"
                rows.append({**asdict(cell), "patient": patient, "structure": structure, "dice": value})
        write_text(self.about, json.dumps(self.settings, indent=1) + "\n")
        write_table(self.path, rows, COLUMNS)


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("draw", "seed"))
