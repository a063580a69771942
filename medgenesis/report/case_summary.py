"""The table of cases, summed up: each measure of each class, with an interval over patients."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medgenesis.statistics.intervals import mean_interval

MEASURES = ("dice", "surface_dice", "hausdorff_95", "surface_distance")
SUMMARY_COLUMNS = ("class", "name", "measure", "unit", "cases", "patients", "mean", "low", "high")


def summarise_cases(rows: Sequence[Mapping[str, Any]], patients: Mapping[Any, object], seed: int = 0) -> list[dict]:
    """A row of `summary.csv` for each measure of each class, and of their mean a case ("all").

    Args:
        rows: as of `cases.csv`; a measure that is empty is passed over.
        patients: of each case.
        seed: of the bootstrap.
    """
    found: dict[tuple, dict[Any, list[float]]] = {}
    for row in rows:
        for measure in MEASURES:
            if row.get(measure) in ("", None):
                continue
            for name in ((row["class"], row.get("name") or ""), ("all", "")):
                found.setdefault((*name, measure), {}).setdefault(row["case"], []).append(float(row[measure]))
    unit = rows[0]["unit"] if rows else "mm"
    summary = []
    for (index, name, measure), by_case in sorted(found.items(), key=_order):
        values = [float(np.mean(own)) for own in by_case.values()]
        owners = [patients.get(case, case) for case in by_case]
        is_length = measure in MEASURES[2:]
        figures = mean_interval(values, owners, bounds=(0.0, math.inf if is_length else 1.0), seed=seed)
        mean, low, high = (None if np.isnan(one) else one for one in figures)
        numbers = (unit if is_length else "", len(values), len(set(map(str, owners))), mean, low, high)
        summary.append(dict(zip(SUMMARY_COLUMNS, (index, name, measure, *numbers), strict=True)))
    return summary


def _order(item: tuple[tuple, Any]) -> tuple:
    index, _, measure = item[0]
    return index == "all", int(index) if index != "all" else 0, MEASURES.index(measure)
