"""Running the cells that are missing: validation first where a value must be chosen, then the test cell itself."""

import json
import logging
import time
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from torch import nn

from benchmarks.evidence import finetuning, frozen, mean_teacher
from benchmarks.evidence.choosing import BY, CHOSEN, chosen_cases
from benchmarks.evidence.networks import embedder
from benchmarks.evidence.pretexts import (
    FEATURES,
    PRETEXTS,
    PROMPTED,
    HeldElsewhere,
    Weights,
    hold_method,
    pretrained,
)
from benchmarks.evidence.probing import LEVELS, PROBED, frozen_as
from benchmarks.evidence.prompted import dice_of_prompts
from benchmarks.evidence.protocol import (
    MEAN_MASK,
    MEAN_TEACHER,
    RANDOM,
    VALIDATION_DRAWS,
    Arm,
    arm_of,
    planned,
    tuned_at,
)
from benchmarks.evidence.rows import FOLDER, VERSION, Cell, RowFile
from benchmarks.evidence.sets import StudySet, validation_draw
from benchmarks.evidence.size import SMALL
from benchmarks.evidence.training import PIECE, WARM_UP
from benchmarks.evidence.trivial import dice_of_mean_mask
from medgenesis.storage import write_table
from medgenesis.weights import load_pretrained

logger = logging.getLogger(__name__)

CHOICES = ("dataset", "method", "readout", "labels", "steps", "value", "draws", "dice", "chosen")


class OutOfTime(Exception):
    """The minutes are over; what is done is kept."""


class Deadline:
    """A moment after which nothing new begins; as a handler it stops a pre-training at its last checkpoint."""

    def __init__(self, minutes: float | None) -> None:
        self.end = None if minutes is None else time.monotonic() + 60 * minutes

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED(every=PIECE), self.check)

    def check(self) -> None:
        if self.end is not None and time.monotonic() > self.end:
            raise OutOfTime


class Programme:
    """The cells of one set.

    Args:
        study: the set.
        work: folder for weights.
        rows: folder of the rows; validation rows are in `validation` below it.
        deadline: after which `run` ends.
        methods: whose cells are run; None: all. Methods of one set may run in several processes.
    """

    def __init__(
        self,
        study: StudySet,
        work: Path,
        rows: Path = FOLDER,
        deadline: Deadline | None = None,
        methods: Collection[str] | None = None,
    ) -> None:
        self.study, self.work, self.rows, self.methods = study, work, rows, methods
        self.deadline = deadline or Deadline(None)
        self._networks: dict[tuple, Any] = {}
        self._chosen: dict[tuple[str, str, int, int], float | None] = {}

    def run(self) -> int:
        """Run what is missing until all is there, or the time is over; returns the number of test cells run."""
        cells, count, held = list(planned(self.study.name)), 0, set()
        known = {cell.method for cell in cells}
        for method in sorted(set(self.methods or ()) - known):
            logger.warning("%s has no cells of the method %s", self.study.name, method)
        try:
            for cell in cells:
                if cell.method in held or (self.methods is not None and cell.method not in self.methods):
                    continue
                self.deadline.check()
                try:
                    count += self.run_cell(cell)
                except HeldElsewhere as error:
                    logger.warning("%s is left out of this run: %s", cell.method, error)
                    held.add(cell.method)
        except OutOfTime:
            logger.info("the time is over: %d cells were run, the next run goes on", count)
        return count

    def run_cell(self, cell: Cell) -> bool:
        """Run a test cell and keep its rows, unless they are there; whether it was run.

        Raises:
            HeldElsewhere: another process runs the cells of its method, and would replace these rows.
        """
        hold_method(self.work, self.study, _weights_of(cell))
        return self._run(cell, self.value(arm_of(cell), cell.labels, cell.steps), "test", self.rows)

    def value(self, arm: Arm, labels: int, steps: int) -> float | None:
        """The value of the arm's hyper-parameter: that with the best mean Dice of validation, seed 0."""
        if not arm.values:
            return None
        labels, steps = tuned_at(labels, steps)
        key = (arm.method, arm.readout, labels, steps)
        if key not in self._chosen:
            means = {value: self._validated(arm, labels, steps, value) for value in arm.values_at(steps)}
            self._chosen[key] = max(means, key=means.get)
            self._note(key, means)
        return self._chosen[key]

    def row_file(self, cell: Cell, value: float | None, folder: Path) -> RowFile:
        """The file that the cell's rows are in."""
        return RowFile(folder, cell, self.settings(cell, value))

    def settings(self, cell: Cell, value: float | None) -> dict[str, Any]:
        """What decides the cell's rows beside draw and seed; constants not named here need a new `VERSION`."""
        same = {"version": VERSION, **self.study.made_of, **{k: v for k, v in asdict(cell).items() if k in _SHARED}}
        if (method := _weights_of(cell)) in PRETEXTS:
            same["pretext"] = PRETEXTS[method].plain(self.study)
        if cell.readout == "frozen":
            same |= {"penalty": value, "voxels": frozen.VOXELS}
        if cell.readout == "finetuned":
            same |= {"rate": value, "batch": finetuning.BATCH, "loss": finetuning.LOSS, "crop": list(self.study.crop)}
            same |= {"norm_batches": finetuning.NORM_BATCHES, "warm_up": WARM_UP}
        if cell.method in PROBED:
            same["probe"] = {"penalty": self._penalty(cell), "voxels": frozen.VOXELS}
        if cell.method in LEVELS:
            same["head_levels"] = "all"
        if cell.method == MEAN_TEACHER:
            same |= {"decay": mean_teacher.DECAY, "consistency": mean_teacher.CONSISTENCY, "noise": mean_teacher.NOISE}
            same["passes"] = "labelled and unlabelled crops apart"
        if self.study.dims == 2:
            same["network"] = self.study.size.backbone
        if self.study.size != SMALL:
            same["size"] = asdict(self.study.size)
        return json.loads(json.dumps(same))

    def _validated(self, arm: Arm, labels: int, steps: int, value: float) -> float:
        """Mean Dice over the draws of validation, patients and structures."""
        found = []
        for number in range(VALIDATION_DRAWS):
            cell = Cell(self.study.name, arm.method, arm.readout, labels, validation_draw(number), 0, steps)
            self.deadline.check()
            folder = self.rows / "validation"
            self._run(cell, value, "validation", folder)
            rows = self.row_file(cell, value, folder).read()
            found += [float(row["dice"]) for row in rows if row["draw"] == str(cell.draw) and row["dice"]]
        return float(np.mean(found))

    def _run(self, cell: Cell, value: float | None, section: str, folder: Path) -> bool:
        file, cases = self.row_file(cell, value, folder), self.study.cases[section]
        if file.has(cell):
            return False
        began = time.process_time()
        dice = self._dice(cell, value, cases)
        file.add(cell, [case.patient for case in cases], self.study.structures, dice)
        seconds = time.process_time() - began
        said = f", Dice {np.nanmean(dice):.3f}" if section == "validation" else ""  # of the test only in tables
        logger.info("%s %s, value %s: %.0f s of processor%s", section, cell, value, seconds, said)
        return True

    def _dice(self, cell: Cell, value: float | None, cases: list) -> np.ndarray:
        labelled, seed, method = self._labelled(cell), 1000 * cell.seed + cell.draw, _weights_of(cell)
        if cell.method == MEAN_MASK:
            return dice_of_mean_mask(labelled, cases, len(self.study.structures))
        if cell.readout == "one_shot":
            network, structures = self._prompted(cell.seed), len(self.study.structures)
            return dice_of_prompts(network, labelled, cases, structures, self.study.device)
        if cell.readout == "frozen":
            network = self._frozen(method, cell.seed)
            return frozen.dice_of_frozen(self.study, network, labelled, cases, penalty=value, seed=seed)
        body = self._probed(cell, labelled, seed) if cell.method in PROBED else None
        weights = self._weights(method, cell.seed) if method in PRETEXTS and body is None else None
        own = {"steps": cell.steps, "rate": value, "seed": seed, "teacher": cell.method == MEAN_TEACHER, "body": body}
        own["head_levels"] = "all" if cell.method in LEVELS else "last"
        return finetuning.dice_after_finetuning(self.study, weights, labelled, cases, **own)

    def _labelled(self, cell: Cell) -> list:
        if cell.method in CHOSEN:
            return chosen_cases(self.study, self._frozen(BY, cell.seed), CHOSEN[cell.method], cell.labels)
        return self.study.labelled(cell.labels, cell.draw)

    def _weights(self, method: str, seed: int) -> Weights:
        return pretrained(method, self.study, seed, self.work, handlers=(self.deadline,))

    def _frozen(self, method: str, seed: int) -> Any:
        if (method, seed) not in self._networks:
            weights = None if method == RANDOM else self._weights(method, seed)
            self._networks[method, seed] = frozen.frozen_network(self.study, weights, seed)
        return self._networks[method, seed]

    def _probed(self, cell: Cell, labelled: list, seed: int) -> nn.Module:
        """The frozen readout of the cell's arm, all of which is learnt further."""
        network = self._frozen(frozen_as(cell.method), cell.seed)
        return frozen.fitted(self.study, network, labelled, penalty=self._penalty(cell), seed=seed)

    def _penalty(self, cell: Cell) -> float | None:
        """What validation chose for the frozen readout that a cell begins with."""
        return self.value(arm_of(replace(cell, method=frozen_as(cell.method), readout="frozen")), cell.labels, 0)

    def _prompted(self, seed: int) -> Any:
        if (PROMPTED, seed, "one_shot") not in self._networks:
            network = embedder(self.study, FEATURES)
            load_pretrained(network, self._weights(PROMPTED, seed), skip_head="never")
            self._networks[PROMPTED, seed, "one_shot"] = frozen.with_norms_of(self.study, network)
        return self._networks[PROMPTED, seed, "one_shot"]

    def _note(self, key: tuple[str, str, int, int], means: dict[float, float]) -> None:
        """Write the table of a choice, one file each: `choices/` of the rows' folder."""
        method, readout, labels, steps = key
        chosen = self._chosen[key]
        rows = [
            (self.study.name, *key, f"{value:g}", VALIDATION_DRAWS, f"{mean:.4f}", value == chosen)
            for value, mean in means.items()
        ]
        name = f"{self.study.name}-{method}-{readout}-k{labels}-{steps}.csv"
        write_table(self.rows / "choices" / name, rows, CHOICES)


def _weights_of(cell: Cell) -> str:
    """The method whose weights a cell begins with."""
    if cell.method in PROBED:
        return frozen_as(cell.method)
    if cell.method in LEVELS:
        return LEVELS[cell.method]
    return BY if cell.method in CHOSEN else cell.method


_SHARED = ("dataset", "method", "readout", "labels", "steps")
