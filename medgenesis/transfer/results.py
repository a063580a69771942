"""Results of the transfer study: one JSON with every setting a run, and one table with a row a run."""

import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import medgenesis
from medgenesis.errors import DatalistError
from medgenesis.storage.atomic import replacing, write_text
from medgenesis.storage.fingerprints import fingerprint
from medgenesis.storage.tables import write_table

# what NumPy raises of a damaged `.npz`: one that is no array, an empty, a cut and a changed one, one of other names
DAMAGE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError)
RESULTS, TABLE = "results", "results.csv"
LOADED = ("weights loaded", "share loaded")  # told of an encoder that is partly newly initialised


def save_result(
    folder: str | Path,
    question: str,
    encoder: Mapping[str, Any],
    dataset: Mapping[str, Any],
    settings: Mapping[str, Any],
    figures: Mapping[str, Mapping[str, float]],
    arrays: Mapping[str, np.ndarray] | None = None,
    **more: Any,
) -> Path:
    """Write one run, and the table of all runs in the folder anew.

    Args:
        folder: of the study.
        question: "few-shot", …
        encoder: what is told of it, with `name`.
        dataset: what is told of it, with `dataset`.
        settings: of the question.
        figures: measure -> `value`, `low`, `high`, ….
        arrays: by record, for paired tests: kept beside, as `.npz`.
        more: what else the question answers, as plain data.

    Returns:
        The JSON file. Its name has a fingerprint of the settings: other settings are another run, the same replace it.
    """
    made = _made(question, encoder, dataset, settings)
    path = result_path(folder, question, encoder, dataset, settings)
    if arrays is not None:
        with replacing(path.with_suffix(".npz")) as beside, beside.open("wb") as file:
            np.savez_compressed(file, **arrays)
    whole = {"medgenesis": medgenesis.__version__, **made, "figures": figures, **more}
    write_text(path, json.dumps(whole, indent=1, default=_plain) + "\n")
    write_results_table(folder)
    return path


def result_path(
    folder: str | Path,
    question: str,
    encoder: Mapping[str, Any],
    dataset: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Path:
    """Where `save_result` writes a run; what else is kept of it has the stem of this file in its name."""
    made = _made(question, encoder, dataset, settings)
    stem = f"{file_word(encoder['name'])}__{file_word(dataset['dataset'])}__{fingerprint(made)[:8]}"
    return Path(folder) / RESULTS / question / f"{stem}.json"


def load_results(folder: str | Path, question: str | None = None) -> list[dict[str, Any]]:
    """All runs in a folder, each with `path`; in the order of their names.

    Raises:
        DatalistError: a file there that is no result.
    """
    return [load_result(path) for path in sorted((Path(folder) / RESULTS).glob(f"{question or '*'}/*.json"))]


def load_result(path: Path) -> dict[str, Any]:
    """One run, with `path`.

    Raises:
        DatalistError: the file is no result.
    """
    try:
        one = json.loads(path.read_text(encoding="utf-8"))
        return {**one, "path": path, "figures": dict(one["figures"]), "encoder": dict(one["encoder"])}
    except (ValueError, KeyError, TypeError) as error:
        raise DatalistError(f"{path}: cannot be read as a result ({error!r}). Remove it, and run again.") from error


def over_images(values: Sequence[float]) -> dict[str, float]:
    """A figure of a few images: their mean, and the least and the most of them as its ends."""
    return {"value": float(np.mean(values)), "low": float(np.min(values)), "high": float(np.max(values))}


def load_arrays(result: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What was kept by record beside a result; nothing where it kept none.

    Raises:
        DatalistError: the file is damaged.
    """
    path = result["path"].with_suffix(".npz")
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except DAMAGE as error:
        raise DatalistError(
            f"{path}: cannot be read as what was kept of a result ({error or type(error).__name__}). Remove it and "
            f"{result['path'].name}, and run again."
        ) from error


def write_results_table(folder: str | Path) -> Path:
    """Write `results.csv`: a row a run, how much of an encoder is of its file where not all is, figures with their
    ends, then settings."""
    rows = []
    for one in load_results(folder):
        row: dict[str, Any] = {
            "question": one["question"],
            "encoder": one["encoder"]["name"],
            "dataset": one["dataset"]["dataset"],
            "split": one["dataset"].get("split"),
        }
        row |= {name: one["encoder"][name] for name in LOADED if name in one["encoder"]}
        for measure, figure in one["figures"].items():
            row |= {f"{measure}_{part}" if part != "value" else measure: number for part, number in figure.items()}
        row |= {f"setting {name}": _cell(value) for name, value in one["settings"].items()}
        row["file"] = one["path"].relative_to(folder).as_posix()
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    first = [name for name in columns if not name.startswith("setting ") and name != "file"]
    columns = [*first, *(name for name in columns if name.startswith("setting ")), "file"]
    write_table(Path(folder) / TABLE, rows, columns)
    return Path(folder) / TABLE


def _made(question: str, encoder: Mapping, dataset: Mapping, settings: Mapping) -> dict[str, Any]:
    """What tells a run from others, as plain data."""
    made = {"question": question, "encoder": dict(encoder), "dataset": dict(dataset), "settings": dict(settings)}
    return json.loads(json.dumps(made, default=_plain))


def _cell(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, type(None))) else json.dumps(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


def file_word(text: str) -> str:
    """A text as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", text)[:60]
