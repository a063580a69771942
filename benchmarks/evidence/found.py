"""The rows that are there, by what they are of; rows of two settings for the same thing are refused, never mixed."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.choosing import CHOSEN
from benchmarks.evidence.probing import ON_ALL_LEVELS
from benchmarks.evidence.protocol import AGAIN, ARMS
from benchmarks.evidence.rows import COLUMNS
from benchmarks.evidence.statistics import grids_of, scores_of
from medgenesis.errors import DatalistError
from medgenesis.statistics.paired import Difference, difference
from medgenesis.storage import read_table

Key = tuple[str, str, int, int]  # method, readout, labels, steps
_ALIKE = ("version", "set", "source", "files")  # what all rows of a set must agree in
_ALIKE_FINETUNED = ("batch", "loss", "crop", "norm_batches", "warm_up")


@dataclass(frozen=True)
class Found:
    """The test rows of one set.

    Args:
        dataset: its name.
        scores: of each (method, readout, labels, steps): (draw, seed) -> patient -> mean Dice over structures.
        again: likewise, of the draws from `AGAIN` on, which no other table is of.
    """

    dataset: str
    scores: Mapping[Key, Mapping[tuple[int, int], Mapping[int, float]]]
    again: "Found | None" = None

    def means(self, keys: Iterable[Key], planned: int) -> dict[Key, Difference]:
        """The mean Dice with its interval of each that has its planned draws, over those that all of these have.

        Until then one that is at work would leave the others its few; where none has them, all that have rows count.
        """
        there = [key for key in keys if key in self.scores]
        there = [key for key in there if len(self.scores[key]) >= planned] or there
        grids = grids_of(*(self.scores[key] for key in there)) if there else []
        return {key: difference(grid) for key, grid in zip(there, grids, strict=True) if grid.size}

    def gain(self, key: Key, over: Key) -> Difference | None:
        """The paired difference of two, with its interval; None where they have no draw in common."""
        if key not in self.scores or over not in self.scores:
            return None
        one, other = grids_of(self.scores[key], self.scores[over])
        return difference(one - other) if one.size else None

    def over_draws(self, chosen: Key, drawn: Key) -> Difference | None:
        """The mean of one over its seeds, minus each draw of the other: what choosing the patients gains over chance.

        None where either has no rows.
        """
        if chosen not in self.scores or drawn not in self.scores:
            return None
        arms = [[self.scores[key][cell] for cell in sorted(self.scores[key])] for key in (chosen, drawn)]
        patients = sorted(set.intersection(*(set(scores) for arm in arms for scores in arm)))
        ours, random = (np.array([[scores[one] for one in patients] for scores in arm]) for arm in arms)
        return difference(ours.mean(axis=0) - random) if patients else None

    def methods(self, readout: str) -> list[str]:
        """Methods with rows of a readout, in the order of the arms; `CHOSEN` and `ON_ALL_LEVELS` have own tables."""
        there = {method for method, own, _, _ in self.scores if own == readout} - CHOSEN.keys() - ON_ALL_LEVELS.keys()
        order = [arm.method for arm in ARMS if arm.readout == readout]
        return sorted(there, key=lambda method: (order.index(method) if method in order else len(order), method))


def read_found(folder: Path) -> list[Found]:
    """The test rows of all sets in a folder, by name of the set.

    Raises:
        DatalistError: a file with other columns or without its settings; rows of two settings.
    """
    by_set: dict[str, dict[Key, Any]] = {}
    agreed: dict[tuple[str, str], tuple[Any, Path]] = {}
    for path, settings in _files(folder):
        key = (settings["method"], settings["readout"], settings["labels"], settings["steps"])
        own = by_set.setdefault(settings["dataset"], {})
        if key in own:
            raise DatalistError(
                f"{path}: there must be one file of each method, readout, labels and steps; found another with other "
                "settings. Compare their files in settings/, and remove the rows of one."
            )
        names = (*_ALIKE, *(_ALIKE_FINETUNED if settings["readout"] == "finetuned" else ()))
        for name in names:
            first, where = agreed.setdefault((settings["dataset"], name), (settings[name], path))
            if first != settings[name]:
                raise DatalistError(
                    f"{path}: rows of a set must agree in {name}; found {settings[name]!r} here and {first!r} in "
                    f"{where.name}. Remove the rows of one protocol."
                )
        own[key] = scores_of(read_table(path))
    return [_split(dataset, scores) for dataset, scores in sorted(by_set.items())]


def _split(dataset: str, scores: Mapping[Key, Mapping[tuple[int, int], Mapping[int, float]]]) -> Found:
    """The draws of all tables, and those of what is asked again."""
    parts: list[dict[Key, dict[tuple[int, int], Mapping[int, float]]]] = [{}, {}]
    for key, own in scores.items():
        for cell, dice in own.items():
            parts[cell[0] >= AGAIN].setdefault(key, {})[cell] = dice
    return Found(dataset, parts[0], Found(dataset, parts[1]) if parts[1] else None)


def _files(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.glob("*.csv")):
        about = folder / "settings" / f"{path.stem.rpartition('-')[2]}.json"
        if not about.is_file():
            raise DatalistError(
                f"{path}: the settings of its rows must stand in {about}; found no such file. Run the cells again."
            )
        rows = read_table(path)
        settings = json.loads(about.read_text(encoding="utf-8"))
        if rows and tuple(rows[0]) != COLUMNS:
            raise DatalistError(
                f"{path}: must have the columns {', '.join(COLUMNS)}; found {', '.join(rows[0])}. Run the cells again."
            )
        if {row["dataset"] for row in rows} - {settings["dataset"]}:
            raise DatalistError(f"{path}: must hold rows of {settings['dataset']}; found others. Run the cells again.")
        if rows:
            yield path, settings
