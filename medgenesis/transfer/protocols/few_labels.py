"""Fine-tuning from few labels, pre-trained against scratch: the comparison that says whether pre-training helped."""

import itertools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser

from medgenesis.data import check_disjoint, datalist_header
from medgenesis.data.folds import patient_of
from medgenesis.handlers import SegmentationCases
from medgenesis.progress import track
from medgenesis.report.intervals import mean_interval
from medgenesis.storage.atomic import write_text
from medgenesis.storage.run_folder import hold_folder, release_folder
from medgenesis.storage.steps import Step, Steps
from medgenesis.storage.tables import write_table
from medgenesis.transfer.protocols.comparison_report import run_folder, write_comparison_report
from medgenesis.transfer.protocols.last_weights import check_all_used, prepare_training, usable_records
from medgenesis.transfer.protocols.run_identity import run_made_with
from medgenesis.weights import settings_of

logger = logging.getLogger(__name__)

CASES = ("labelled patients", "start", "seed", "test record", "class", "dice")
_TRAINING = ("runs/finetune/last.pt", "runs/finetune/best.pt")  # what a stopped run goes on from


def dice_after_finetuning(
    configs: Sequence[str | Path],
    training: Sequence[dict],
    test: Sequence[dict],
    folder: str | Path,
    *,
    init: str,
    seed: int,
    iterations: int | None,
    overrides: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Fine-tune a bundle's network on some labelled records for a fixed number of steps, then segment others.

    Args:
        configs: the bundle's `finetune.yaml`, and overlays.
        training: labelled records; all of them, and no others, are learnt from: the last weights are used, for
            choosing the best would need more labels.
        test: labelled records to segment.
        folder: takes the place of the bundle's root in what the run writes.
        init: checkpoint, or "scratch".
        seed: of the head's weights, the order and the augmentation.
        iterations: optimizer steps at least, rounded up to whole epochs; None: the epochs of the configs.
        overrides: further settings of the configs, by id.

    Returns:
        Dice of each test record and class (records, classes without background), measured on the images' own grid;
        NaN where a class is absent.

    Raises:
        ValueError: a plateau or patience, which would follow the test records.
        VolumeError: a record that cannot be used.
    """
    settings = {"steps": iterations, **(overrides or {})}
    workflow = prepare_training(configs, training, test, folder, init=init, seed=seed, overrides=settings)
    _measure_on_own_grid(workflow.parser)
    workflow.initialize()
    check_all_used(workflow, training, test)
    workflow.run()
    evaluator = workflow.evaluator
    labels = workflow.parser.get_parsed_content("labels") if "labels" in workflow.parser.get() else None
    SegmentationCases(folder, "Fine-tuning", getattr(labels, "names", None)).attach(evaluator)
    evaluator.run()
    return evaluator.state.metric_details["val_mean_dice"].cpu().numpy()


def _measure_on_own_grid(parser: ConfigParser) -> None:
    """As `evaluate.yaml`: label maps as they were drawn, and the answers brought to their grid."""
    own = parser["validate"]["preprocessing"]
    own = parser["preprocessing"] if own == "@preprocessing" else own
    parser["validate"]["preprocessing"] = {**own, "resample_labels": False}
    grid = {"_target_": "medgenesis.inference.OnOwnGridd", "keys": ["pred", "image"]}
    grid["transform"] = "@validate#preprocessing"
    steps = [grid, parser["validate"]["postprocessing"]]
    parser["validate"]["postprocessing"] = {"_target_": "medgenesis.data.Preprocessing", "transforms": steps}


def compare_few_labels(
    configs: Sequence[str | Path],
    datalist: str | Path,
    inits: Mapping[str, str],
    folder: str | Path,
    *,
    counts: Sequence[int] = (3, 10, 40),
    seeds: Sequence[int] = (0, 1, 2),
    iterations: int = 400,
    overrides: Mapping[str, Any] | None = None,
) -> str:
    """Fine-tune from each start, with each number of labels and each seed; tabulate the Dice of the test section.

    All records of the first `count` training patients of a seed's shuffled order are learnt from, the same for every
    start; a record without `patient` counts as a patient of its own. A finished
    run is kept in `folder` and not repeated with the same settings, configs, files and checkpoint, so the comparison
    continues where it was stopped; where something has changed, a warning says what, and the run is repeated.

    Args:
        configs: the bundle's `finetune.yaml`, and overlays.
        datalist: with labelled sections `training` and `test`.
        inits: name in the table -> checkpoint, or "scratch".
        folder: receives `cases.csv`, `table.md`, `report.html` and the runs.
        counts: numbers of labelled patients.
        seeds: of the choice of patients and of the training.
        iterations: optimizer steps of each run.
        overrides: settings of the configs, by id.

    Returns:
        The table in Markdown: mean Dice over classes, seeds and test patients, with a 95 % bootstrap interval over
        test patients; and the paired difference from the last start with its interval.

    Raises:
        ValueError: a count larger than the number of training patients; a plateau or patience, which would follow the
            test records.
        OutputError: another comparison is at work in the folder.
        DatalistError: a patient (or a scan) in training and test.
        DatalistError, VolumeError: a file that is absent or damaged; with `on_error` "skip" among `overrides` its
            record is left out before any is chosen, with a warning, and only a section without others is an error.
    """
    hold_folder(folder)
    try:
        return _compared(configs, datalist, inits, Path(folder), counts, seeds, iterations, overrides)
    finally:
        release_folder(folder)


def _compared(configs, datalist, inits, folder: Path, counts, seeds, iterations: int, overrides) -> str:
    overrides = {"datalist": str(Path(datalist).absolute()), **(overrides or {})}  # its header says what labels are
    training, test = (usable_records(datalist, part, overrides.get("on_error")) for part in ("training", "test"))
    check_disjoint({"training": training, "test": test})
    owners = [patient_of(record) for record in training]
    known = list(dict.fromkeys(owners))
    if max(counts) > len(known):
        raise ValueError(
            f"{datalist}: must have the {max(counts)} labelled patients asked for; found {len(known)} in the training "
            "section. Ask for fewer, or add labelled patients."
        )
    trained = [str(Path(init).absolute()) for init in inits.values() if init != "scratch"]
    alike = {"settings_from": trained[0]} if trained else {}  # from scratch: the same network, of the same volumes
    header = datalist_header(datalist)
    also = {  # what runs take from files that are named alone
        "settings of the pre-training": dict(settings_of(trained[0])) if trained else {},
        "measured": "on the images' own grid",
        "labels of the list": {name: header.get(name) for name in ("label_merge", "labels")},
    }
    dice: dict[tuple[int, str], list[np.ndarray]] = {}
    runs = list(itertools.product(counts, seeds, inits.items()))
    for count, seed, (name, init) in track(runs, "fine-tunings"):
        drawn = {known[i]: place for place, i in enumerate(np.random.default_rng(seed).permutation(len(known))[:count])}
        chosen = [record for record, owner in zip(training, owners, strict=True) if owner in drawn]
        chosen.sort(key=lambda record: drawn[patient_of(record)])
        own = overrides if init != "scratch" else {**alike, **overrides}
        settings = dict(init=init, seed=seed, iterations=iterations, overrides=own)
        result = _once(folder / run_folder(name, count, seed), configs, chosen, test, settings, also)
        logger.info("%s, %d labels, seed %d: Dice %.3f", name, count, seed, np.nanmean(result))
        dice.setdefault((count, name), []).append(result)
    write_table(folder / "cases.csv", _cases(dice, seeds), CASES, decimals=".4f")
    patients = [patient_of(record) for record in test]
    rows = _table(dice, list(inits), counts, patients)
    empty = np.isnan(_mean_of_seeds(dice[counts[0], next(iter(inits))]))
    counted = len({patient for patient, one in zip(patients, empty, strict=True) if not one})
    note = f"Mean Dice [95 % interval over {counted} test patients], mean of {len(seeds)} seeds."
    if empty.any():
        note += f" {empty.sum()} test records have none of the classes, and are not counted."
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    table = "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:], "", note, ""])
    write_text(folder / "table.md", table)
    page = write_comparison_report(folder, rows, note, list(inits), counts, seeds)
    logger.info("written: %s, %s, %s", folder / "table.md", folder / "cases.csv", page)
    return table


def _once(
    run: Path,
    configs: Sequence[str | Path],
    training: list,
    test: list,
    settings: dict[str, Any],
    also: Mapping[str, Any],
) -> np.ndarray:
    """The result of a run, from its file where it has been computed before from the same."""
    path, steps = run / "dice.json", Steps(run, {"dice": Step(("dice.json",), _TRAINING)}, changed="renew")
    made_with = run_made_with(configs, training, test, also, **settings)
    if not steps.done("dice", made_with):
        with steps.doing("dice", made_with):
            dice = dice_after_finetuning(configs, training, test, run, **settings)
            write_text(path, json.dumps({"dice": dice.tolist()}))
        for name in _TRAINING:  # only to go on from, and large
            (run / name).unlink(missing_ok=True)
    return np.asarray(json.loads(path.read_text(encoding="utf-8"))["dice"], dtype=np.float64)


def _table(dice: dict, names: list[str], counts: Sequence[int], patients: list[str]) -> list[list[str]]:
    """The heading, and a row for each number of labels; `patients`: whose each test record is."""
    baseline = names[-1]
    rows = [["labelled patients", *names, *(f"{name} - {baseline}" for name in names[:-1])]]
    for count in counts:
        means = {name: _mean_of_seeds(dice[count, name]) for name in names}  # one a record
        cells = [_cell(means[name], patients) for name in names]
        cells += [_cell(means[name] - means[baseline], patients, signed=True) for name in names[:-1]]
        rows.append([str(count), *cells])
    return rows


def _mean_of_seeds(dice: Sequence[np.ndarray]) -> np.ndarray:
    """Of each test record, over seeds and classes (N,); NaN where it has none of the classes."""
    return np.ma.masked_invalid(np.stack(dice)).mean(axis=(0, 2)).filled(np.nan)


def _cell(values: np.ndarray, patients: list[str], signed: bool = False) -> str:
    known = np.flatnonzero(~np.isnan(values))
    form = "+.3f" if signed else ".3f"
    mean, low, high = mean_interval(values[known], [patients[i] for i in known])
    if np.isnan(mean):
        return "–"
    return f"{mean:{form}}" if np.isnan(low) else f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def _cases(dice: dict, seeds: Sequence[int]) -> Iterator[list]:
    """A row a case; patients are numbered in the datalist's order, not named."""
    for (count, name), runs in dice.items():
        for seed, run in zip(seeds, runs, strict=True):
            for case, classes in enumerate(run):
                yield from ([count, name, seed, case, label + 1, d] for label, d in enumerate(classes))
