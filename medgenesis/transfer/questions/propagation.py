"""Label propagation as a question of the study: its result, its table of cases, its place beside the trivial answer."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.statistics.intervals import interval_figure
from medgenesis.storage.tables import write_table
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.protocols.propagation import CaseDice, Propagation, as_seen, propagate
from medgenesis.transfer.results import load_result, save_result
from medgenesis.transfer.study_set import StudySet

logger = logging.getLogger(__name__)


def ask_propagation(
    encoder: Encoder, study_set: StudySet, settings: Propagation, folder: str | Path, *, intensity: Any = None
) -> dict[str, Any]:
    """Propagate labels with one encoder on one data set, and keep the result, with a table of the cases beside it.

    Returns:
        The result, as `load_results` gives it: `dice` and `same_place_dice`, means over the test cases of their mean
        over labels and draws, with the 95 % interval over patients.
    """
    cases = propagate(encoder, study_set, settings, intensity=intensity)
    rows = sorted({case.row for case in cases})
    by_case = {
        name: np.array([np.mean([getattr(case, field) for case in cases if case.row == row]) for row in rows])
        for name, field in (("dice", "dice"), ("same_place_dice", "same_place"))
    }
    patients = study_set.patients[rows]
    figures = {
        name: interval_figure(values, patients.tolist(), bounds=(0, 1), seed=settings.seed)
        for name, values in by_case.items()
    }
    seen = as_seen(encoder, study_set, intensity).described(intensity)
    told = {**seen, "encoder (fingerprint)": encoder.fingerprint}
    dataset = {**study_set.told(), "labelled test cases": len(rows)}
    arrays = {"patients": study_set.patients, "rows": np.array(rows), "values": by_case["dice"]}
    path = save_result(folder, "propagate", told, dataset, asdict(settings), figures, arrays, labels=_by_label(cases))
    table = [
        {"case": rows.index(case.row) + 1, **{k: v for k, v in asdict(case).items() if k != "row"}} for case in cases
    ]
    write_table(path.with_suffix(".csv"), table)
    said = ", ".join(f"{name} {figure['value']:.4f}" for name, figure in figures.items())
    logger.info("propagate, %s on %s: %s", encoder.name, study_set.name, said)
    return load_result(path)


def _by_label(cases: Sequence[CaseDice]) -> dict[str, dict[str, float]]:
    found = {}
    for label in sorted({case.label for case in cases}):
        own = [case for case in cases if case.label == label]
        found[str(label)] = {
            "dice": float(np.mean([case.dice for case in own])),
            "same_place_dice": float(np.mean([case.same_place for case in own])),
        }
    return found
