"""A classifier applied to images: probabilities in a table, and the AUC where the classes are known."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from monai.networks.utils import eval_mode
from torch import nn

from medgenesis.data.checks import check_answers
from medgenesis.data.streamed_dataset import StreamedDataset
from medgenesis.errors import DatalistError
from medgenesis.inference.written_for import claim_tables
from medgenesis.io.naming import names_for, volume_name
from medgenesis.report import write_run_report
from medgenesis.statistics.auc import AUC_COLUMNS, auc_table, in_columns
from medgenesis.storage.tables import write_table

logger = logging.getLogger(__name__)


@torch.no_grad()
def classify_volumes(
    network: nn.Module,
    volumes: Iterable[Mapping[str, Any]],
    inferer: Inferer,
    output_dir: str | Path,
    *,
    multi_label: bool = False,
    title: str = "Classification",
) -> np.ndarray:
    """Classify every image of a data set, and write `predictions.csv`, `auc.csv` and `report.html`.

    `predictions.csv` has a row an image: its number in the list, its name (`OutputNames`), the known class or findings,
    a probability a class, and where the class is known how far the answer is from it (`error`, 0 to 1). `auc.csv` has
    for each class the AUC of the records whose class is known, with a 95 % interval over patients.

    Args:
        network: (B, C, *spatial) -> logits (B, classes); used in evaluation mode, on the device of its weights.
        volumes: items with `image` (C, *spatial) and, where known, `class` (a whole number) or `classes` (0 or 1 for
            each finding), and `patient`: a data set, or `StreamedDataset`.
        inferer: from an image (1, C, *spatial) and the network to logits (1, classes).
        output_dir: receives the files; those there that are of other images are kept in its folder `earlier`.
        multi_label: the classes are findings, of which several may be present.
        title: heading of the report.

    Returns:
        Probabilities (images, classes).

    Raises:
        VolumeError: an answer that is not finite; nothing is written.
        DatalistError: a class or findings that the network cannot answer (`check_known` tells before the first image).
    """
    folder, device = Path(output_dir), next(network.parameters()).device
    known_names = names_for(volumes)
    numbers, names, truths, onehot, patients, answers = [], [], [], [], [], []
    with eval_mode(network):
        for number, item in _numbered(volumes):
            logits = torch.as_tensor(inferer(item["image"][None].to(device), network))[0].float()
            answers.append((logits.sigmoid() if multi_label else logits.softmax(0)).cpu().numpy())
            check_answers(answers[-1], volume_name(item["image"]))
            numbers.append(number)
            names.append(known_names.of(item))
            known = item.get("classes" if multi_label else "class")
            columns = None if known is None else _known_columns(known, len(answers[-1]), multi_label, item["image"])
            onehot.append(columns)
            truths.append(None if known is None else np.asarray(known).astype(int))
            patients.append(str(item.get("patient", f"record {number}")))
    probabilities = np.stack(answers)
    classes = probabilities.shape[1]
    rows = []
    for i, (name, one) in enumerate(zip(names, probabilities, strict=True)):
        row: dict[str, Any] = {"record": numbers[i], "image": name, "truth": _in_words(truths[i])}
        row |= {f"p_{index}": float(value) for index, value in enumerate(one)}
        row["error"] = None if onehot[i] is None else float(np.abs(one - onehot[i]).max())
        rows.append(row)
    answered = (folder / "predictions.csv").exists()  # else the report is of the training that has just ended
    claim_tables(folder, ("predictions.csv", "auc.csv", "report.html"), known_names, keep=answered)
    exact = {f"p_{index}": ".9g" for index in range(classes)}  # of single precision, for an AUC to be read from them
    write_table(folder / "predictions.csv", rows, decimals={**exact, "error": ".6f"})
    _write_auc(folder / "auc.csv", probabilities, onehot, patients, multi_label)
    page = write_run_report(folder, title)
    logger.info("%d images, %d classes", *probabilities.shape)
    logger.info("written: %s, %s, %s", folder / "predictions.csv", folder / "auc.csv", page)
    return probabilities


def _numbered(volumes: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each item with its number from 1, that of the list: one that is skipped has a number too."""
    if not isinstance(volumes, StreamedDataset):
        yield from enumerate(volumes, 1)
        return
    for place, item in volumes.placed():
        yield place + 1, item


def _known_columns(known: Any, classes: int, multi_label: bool, image: torch.Tensor) -> np.ndarray:
    try:
        return in_columns(known, classes, multi_label=multi_label)
    except ValueError:
        told = "findings" if multi_label else "classes"
        raise DatalistError(
            f"{volume_name(image)}: what is known of it must fit the {classes} {told} of the network; found {known!r}. "
            "Correct the record."
        ) from None


def _in_words(truth: np.ndarray | None) -> str:
    return "" if truth is None else " ".join(map(str, np.atleast_1d(truth)))


def _write_auc(path: Path, probabilities: np.ndarray, onehot: list, patients: list[str], multi: bool) -> None:
    """Of the records whose class is known."""
    known = [i for i, one in enumerate(onehot) if one is not None]
    truth = np.array([onehot[i] for i in known], dtype=int).reshape(len(known), probabilities.shape[1])
    rows = auc_table(truth, probabilities[known], [patients[i] for i in known], multi_label=multi)
    for row in rows:
        if row["auc"] is not None:
            logger.info("class %d: AUC %.3f [%s], %d records", row["class"], row["auc"], _ends(row), row["records"])
    write_table(path, rows, AUC_COLUMNS, decimals=".5f")


def _ends(row: Mapping[str, Any]) -> str:
    return "–" if row["low"] is None else f"{row['low']:.3f}, {row['high']:.3f}"
