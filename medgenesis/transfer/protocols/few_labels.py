"""Fine-tuning from few labels, pre-trained against scratch: the comparison that says whether pre-training helped."""

import itertools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.data import check_disjoint, datalist_header
from medgenesis.data.folds import patient_of
from medgenesis.progress import track
from medgenesis.report.text import markdown_table
from medgenesis.statistics.paired import difference
from medgenesis.stopping import end_if_asked, ended_by_signals
from medgenesis.storage.atomic import write_text
from medgenesis.storage.run_folder import held
from medgenesis.storage.steps import Step, Steps
from medgenesis.storage.tables import write_table
from medgenesis.transfer.protocols.comparison_frozen import FROZEN, frozen_sentences, frozen_table
from medgenesis.transfer.protocols.comparison_report import run_folder, write_comparison_report
from medgenesis.transfer.protocols.comparison_table import (
    LEAST,
    MORE_TEST_PATIENTS,
    by_labelled_set,
    by_patient,
    findings,
    interval,
    labelled_patients,
    labelled_sets,
    remedy,
    sentences,
    table,
    tested_patients,
)
from medgenesis.transfer.protocols.frozen_dice import dice_of_frozen
from medgenesis.transfer.protocols.label_survey import survey_labels
from medgenesis.transfer.protocols.labelled_draws import drawn_records
from medgenesis.transfer.protocols.last_dice import dice_after_finetuning
from medgenesis.transfer.protocols.last_weights import usable_records
from medgenesis.transfer.protocols.run_identity import run_made_with
from medgenesis.weights import settings_of, warn_of_seen

logger = logging.getLogger(__name__)

CASES = ("labelled patients", "steps", "start", "seed", "test record", "class", "dice")
PLACE = "no image"  # where the labelled label maps have a structure, whatever the image shows
NORM_BATCHES = 16  # batch norm's statistics are estimated again: a short training is else judged by those of its start
_OWN = ("steps", "seed", "init", "finetune_epochs")  # what the comparison itself sets
_TRAINING = ("runs/finetune/last.pt", "runs/finetune/best.pt")  # what a stopped run goes on from


def compare_few_labels(
    configs: Sequence[str | Path],
    datalist: str | Path,
    inits: Mapping[str, str],
    folder: str | Path,
    *,
    counts: Sequence[int] = (3, 10, 40),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    iterations: int | Sequence[int] = 400,
    frozen: bool = True,
    overrides: Mapping[str, Any] | None = None,
) -> str:
    """Fine-tune from each start, with each number of labels and of steps and each draw, and read its frozen features;
    tabulate the Dice of the test section.

    A draw is a seed: of the labelled patients, the head's weights, the order and the augmentation, the same for every
    start. All records of the first `count` training patients of a draw's shuffled order are learnt from; a record
    without `patient` counts as a patient of its own. A finished
    run is kept in `folder` and not repeated with the same settings, configs, files and checkpoint, so the comparison
    continues where it was stopped; where something has changed, a warning says what, and the run is repeated.

    Args:
        configs: the bundle's `finetune.yaml`, and overlays.
        datalist: with labelled sections `training` and `test`.
        inits: name in the table -> checkpoint, or "scratch"; the others are compared with the last.
        folder: receives `cases.csv`, `table.md`, `report.html` and the runs.
        counts: numbers of labelled patients.
        seeds: of the draws; fewer than five different sets of labelled patients give no verdict.
        iterations: optimizer steps of each run; several: each a training of its own.
        frozen: whether each start also answers without fine-tuning, see `dice_of_frozen`; a network whose maps are not
            known has no such rows, and a sentence says so.
        overrides: settings of the configs, by id; `norm_batches` is 16 unless it is given.

    Returns:
        Sentences and a table in Markdown: mean Dice over draws, test patients and classes, the paired difference from
        the last start, both with a 95 % interval over draws and patients (`medgenesis.statistics.difference`); draws
        of the same labelled patients count once, by their mean; p is corrected over all differences of the table
        (Holm); the same of frozen features, without a verdict; and the Dice of the answer that looks at no image.

    Raises:
        ValueError: a count larger than the number of training patients, or below 1; no seed; a plateau or patience,
            which would follow the test records; an override of what the comparison sets itself.
        OutputError: another comparison is at work in the folder.
        KeyboardInterrupt, SystemExit: after a Ctrl-C or SIGTERM, which ends the whole comparison.
        DatalistError: a patient (or a scan) in training and test; a draw whose label maps have no class.
        DatalistError, VolumeError: a file that is absent or damaged; with `on_error` "skip" among `overrides` its
            record is left out before any is chosen, with a warning, and only a section without others is an error.

    References:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1 (2007); Holm, Scand. J. Statistics 6 (1979).
    """
    steps = [iterations] if isinstance(iterations, int) else iterations
    counts, steps, seeds = (list(dict.fromkeys(numbers)) for numbers in (counts, steps, seeds))
    if not (counts and steps and seeds) or min(*counts, *steps) < 1:
        raise ValueError(
            "labels, iterations, seeds: must be at least one number each, and labels and iterations at least 1; found "
            f"{counts}, {steps} and {len(seeds)} seeds. Correct them."
        )
    own = [id for id in _OWN if id in (overrides or {})]
    if own:
        raise ValueError(
            f"--set: must leave alone what the comparison itself sets; found {', '.join(own)}. Use --iterations, "
            "--seeds and --pretrained."
        )
    with held(folder), ended_by_signals(folder):
        return _compared(configs, datalist, inits, Path(folder), counts, seeds, steps, frozen, overrides)


def _compared(configs, datalist, inits, folder: Path, counts, seeds, steps, frozen, overrides) -> str:
    overrides = {"norm_batches": NORM_BATCHES, **(overrides or {})}
    overrides = {"datalist": str(Path(datalist).absolute()), **overrides}  # its header says what labels are
    training, test = (usable_records(datalist, part, overrides.get("on_error")) for part in ("training", "test"))
    check_disjoint({"training": training, "test": test})
    known = len(set(map(patient_of, training)))
    chosen = drawn_records(datalist, training, counts, seeds)
    labelled = {count: [frozenset(map(patient_of, chosen[count, seed])) for seed in seeds] for count in counts}
    sets = {count: len(set(own)) for count, own in labelled.items()}
    for count in counts:
        if sets[count] < LEAST:  # said before hours are spent
            said = f"{labelled_patients(count)}: no verdict will be given"
            logger.warning("%s, %s; five are needed. %s", said, labelled_sets(sets[count]), remedy(count, known))
    trained = [str(Path(init).absolute()) for init in inits.values() if init != "scratch"]
    for init in trained:
        warn_of_seen(init, datalist, ("test",))
    alike = {"settings_from": trained[0]} if trained else {}  # from scratch: the same network, of the same volumes
    header = datalist_header(datalist)
    also = {  # what runs take from files that are named alone
        "settings of the pre-training": dict(settings_of(trained[0])) if trained else {},
        "measured": "on the images' own grid",
        "labels of the list": {name: header.get(name) for name in ("label_merge", "labels")},
    }
    survey = survey_labels(configs, chosen, test, folder, {**alike, **overrides}, frozen=frozen)
    tested = {patient_of(record) for record, counts in zip(test, survey.counted, strict=True) if counts}
    if len(tested) < LEAST:
        said = f"{tested_patients(len(tested))} with any of the classes"
        logger.warning("%s: no verdict will be given, five are needed. %s", said, MORE_TEST_PATIENTS)
    overrides = {"num_classes": survey.num_classes, **overrides}  # of every run, whatever its draw has
    lost = frozen and not survey.has_levels
    if lost:
        logger.warning("frozen features are left out: where the maps of this network are is not known")
    dice: dict[tuple[int, int, str], list[np.ndarray]] = {}
    lengths = [FROZEN, *steps] if frozen and not lost else steps
    runs = list(itertools.product(counts, lengths, seeds, inits.items()))
    for count, length, seed, (name, init) in track(runs, "runs"):
        end_if_asked()
        own = overrides if init != "scratch" else {**alike, **overrides}
        settings = dict(init=init, seed=seed, iterations=length, overrides=own)
        run = folder / run_folder(name, count, length, seed)
        result = _once(run, configs, chosen[count, seed], test, settings, also)
        said = f"{length} steps" if length else "frozen"
        logger.info("%s, %d labels, %s, seed %d: Dice %.3f", name, count, said, seed, np.nanmean(result))
        dice.setdefault((count, length, name), []).append(result)
    end_if_asked()
    write_table(folder / "cases.csv", _cases(dice, seeds), CASES, decimals=".4f")
    patients = [patient_of(record) for record in test]
    means = {key: by_labelled_set(by_patient(found, patients), labelled[key[0]]) for key, found in dice.items()}
    places = {
        count: by_labelled_set(by_patient([survey.place_dice[count, seed] for seed in seeds], patients), own)
        for count, own in labelled.items()
    }
    trivial = {count: difference(found) for count, found in places.items() if found.size}
    tuned, starts = {key: value for key, value in means.items() if key[1] != FROZEN}, list(inits)
    found = findings(tuned, starts)
    said, rows = sentences(tuned, found, starts, trivial, known), table(tuned, found, starts)
    said += frozen_sentences(means, starts, trivial)
    said += ["Frozen features are left out: where the maps of this network are is not known."] if lost else []
    read = frozen_table(means, starts)
    note = _note(next(iter(dice.values())), next(iter(means.values())).shape[1], sets)
    without = [(str(count), interval(one)) for count, one in trivial.items()]
    tables = [rows, *([read] if len(read) > 1 else []), [("labelled patients", f"Dice, {PLACE}"), *without]]
    first, *others = map(markdown_table, tables)
    text = "\n\n".join(["\n".join(f"- {line}" for line in said), first, note, *others]) + "\n"
    write_text(folder / "table.md", text)
    page = write_comparison_report(folder, said, tables, note, means, places, seeds)
    logger.info("written: %s, %s, %s", folder / "table.md", folder / "cases.csv", page)
    return text


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

    def answer() -> None:
        dice = _dice(configs, training, test, run, **settings)
        write_text(path, json.dumps({"dice": dice.tolist()}))

    steps.once("dice", run_made_with(configs, training, test, also, **settings), answer)
    return np.asarray(json.loads(path.read_text(encoding="utf-8"))["dice"], dtype=np.float64)


def _dice(configs, training: list, test: list, run: Path, *, iterations: int, **settings: Any) -> np.ndarray:
    if iterations == FROZEN:
        return dice_of_frozen(configs, training, test, run, **settings)
    return dice_after_finetuning(configs, training, test, run, iterations=iterations, **settings)


def _note(runs: Sequence[np.ndarray], patients: int, sets: Mapping[int, int]) -> str:
    """What the table shows; `sets` is how many different sets of patients the draws of each number of labels are."""
    empty, draws = int(np.isnan(np.stack(runs)).all(axis=(0, 2)).sum()), len(runs)
    over = f"over draws and {patients} test patients"
    over = f"[95 % interval {over}]" if min(max(sets.values()), patients) > 1 else f"{over}, without an interval,"
    note = f"Mean Dice {over} of {draws} draws; p is corrected over all differences."
    for count, number in sets.items():
        if number < draws:
            note += f" With {labelled_patients(count)} the {draws} draws are {labelled_sets(number)}: draws of the "
            note += f"same patients count once, by their mean{', and one set has no interval' if number == 1 else ''}."
    return note + (f" {empty} test records have none of the classes, and are not counted." if empty else "")


def _cases(dice: Mapping[tuple[int, int, str], list[np.ndarray]], seeds: Sequence[int]) -> Iterator[list]:
    """A row a case; records are numbered in the datalist's order from 1, as in the runs' tables, and not named."""
    for (count, length, name), runs in dice.items():
        for seed, run in zip(seeds, runs, strict=True):
            for case, classes in enumerate(run, 1):
                yield from ([count, length, name, seed, case, label + 1, d] for label, d in enumerate(classes))
