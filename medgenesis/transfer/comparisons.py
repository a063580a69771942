"""Paired tests between the encoders of a study, on the records that both were asked."""

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.statistics.scores import Drawn, Judge, paired_difference
from medgenesis.storage.tables import read_table, write_table
from medgenesis.transfer.protocols.few_shot import weighted_accuracy
from medgenesis.transfer.results import load_arrays

logger = logging.getLogger(__name__)

PAIRS = "comparisons.csv"
QUESTIONS = ("few-shot", "linear", "knn", "finetune", "propagate")  # whose answers are judged by record
_NUMBERS = ("difference", "low", "high", "p")
_FILES = ("one_file", "other_file")
_COLUMNS = ("question", "dataset", "one", "other", "measure", *_NUMBERS, "patients", *_FILES)
_CASES = "labelled test cases"  # of propagate: of those that one of two encoders lacks both are judged without
Result = Mapping[str, Any]


def compare(results: Sequence[Result], folder: str | Path, *, draws: int = 1000) -> list[dict]:
    """Paired tests between all encoders of a question and a data set, written to `comparisons.csv`.

    Each encoder is judged once on each draw, whatever the number of pairs; a pair that the file has, and whose results
    were not written since, is not computed anew.

    Args:
        results: of several encoders; only those of one question, data set and settings are compared with each other,
            on the records that both were asked: a warning where others are left out.
        folder: of the study.
        draws: of the bootstrap over patients; their seed is that of the settings.

    Returns:
        The rows: `question`, `dataset`, `one`, `other`, `measure`, `difference`, `low`, `high`, `p` (two-sided, not
        corrected for their number; Student's t, see `paired_difference`), of how many `patients` (of the rarest class,
        where classes weigh alike), and the files of both results, `one_file` and `other_file`, below the folder.
    """
    folder, rows = Path(folder), []
    known, drawn = _known(folder), dict[tuple[str, bytes], Drawn]()
    for pair in combinations([one for one in results if one["question"] in QUESTIONS], 2):
        if not _alike(*pair):
            continue
        files = tuple(one["path"].relative_to(folder).as_posix() for one in pair)
        rows += known.get(files) or _compared(pair, files, drawn, draws)
    write_table(folder / PAIRS, rows, _COLUMNS)
    return rows


def _alike(one: Result, other: Result) -> bool:
    alike = all(one.get(key) == other.get(key) for key in ("question", "compat"))
    alike = alike and {**one["dataset"], _CASES: None} == {**other["dataset"], _CASES: None}
    alike = alike and {**one["settings"], "distance": None} == {**other["settings"], "distance": None}
    return alike and one["encoder"]["name"] != other["encoder"]["name"]


def _known(folder: Path) -> dict[tuple[str, ...], list[dict]]:
    """Rows of the file by their results, of those that were not written since."""
    path, found = folder / PAIRS, dict[tuple[str, ...], list[dict]]()
    for row in read_table(path) if path.is_file() else ():
        files = tuple(row.get(name) or "" for name in _FILES)
        sources = [folder / name for name in files]
        if set(row) == set(_COLUMNS) and all(one.is_file() for one in sources):
            if max(one.stat().st_mtime_ns for one in sources) < path.stat().st_mtime_ns:
                numbers = {name: float(row[name]) for name in _NUMBERS}
                found.setdefault(files, []).append({**row, **numbers, "patients": int(row["patients"])})
    return found


def _compared(pair: Sequence[Result], files: Sequence[str], drawn: dict, draws: int) -> list[dict]:
    arrays = [load_arrays(result) for result in pair]
    common, *places = np.intersect1d(arrays[0]["rows"], arrays[1]["rows"], return_indices=True)
    counts = [len(own["rows"]) for own in arrays]
    question, names = pair[0]["question"], [one["encoder"]["name"] for one in pair]
    if len(common) < max(counts):
        said = (question, pair[0]["dataset"]["dataset"], *names)
        logger.warning("%s on %s: %s and %s are compared on %d records of %d and %d", *said, len(common), *counts)
    if not len(common):
        return []
    patients, seed = arrays[0]["patients"][common], int(pair[0]["settings"].get("seed") or 0)
    judged = []
    for file, own, place in zip(files, arrays, places, strict=True):
        key = file, common.tobytes()
        if key not in drawn:
            drawn[key] = Drawn.of(_judge(question, own, place), patients, draws=draws, seed=seed)
        judged.append(drawn[key])
    rows = []
    for measure, figure in paired_difference(*judged).items():
        told = (question, pair[0]["dataset"]["dataset"], *names, measure, figure["value"])
        cells = (*told, *(figure[name] for name in _NUMBERS[1:]), figure["patients"], *files)
        rows.append(dict(zip(_COLUMNS, cells, strict=True)))
    return rows


def _judge(question: str, arrays: Mapping[str, np.ndarray], places: np.ndarray) -> Callable:
    """Of the records at these places of `rows`."""
    if question == "few-shot":
        used = arrays["rows"][places]
        return weighted_accuracy(arrays["correct"][used], arrays["asked"][used])
    if question == "propagate":
        return _mean_dice(arrays["values"][places])
    return Judge(arrays["truth"][places], arrays["scores"][places])


def _mean_dice(values: np.ndarray) -> Callable:
    def judge(weights: np.ndarray | None = None) -> dict[str, float]:
        return {"dice": float(np.average(values, weights=weights))}

    return judge
