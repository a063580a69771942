"""Rows of the evidence programme round a given level."""

import itertools
import json

from benchmarks.evidence.protocol import seed_of
from benchmarks.evidence.rows import COLUMNS, RowFile
from benchmarks.evidence.rows import Cell as C
from medgenesis.storage import write_table, write_text

SAME = {"version": 1, "set": "balls", "source": "computed", "files": "none", "dataset": "hippocampus"}
SAME |= {"batch": 2, "loss": "dice_ce", "crop": [8], "norm_batches": 1, "warm_up": 0.1}


def write_rows(folder, method, readout, labels, steps, level, draws=range(4), **settings):
    """Rows of 5 patients and 2 structures round a level."""
    about = {**SAME, "method": method, "readout": readout, "labels": labels, "steps": steps, **settings}
    dataset = about["dataset"]
    file = RowFile(folder, C(dataset, method, readout, labels, 0, 0, steps), about)
    rows = []
    for draw, patient, structure in itertools.product(draws, range(5), ("front", "back")):
        spread = 0.002 * level * ((draw + patient) % 2 - 0.5)  # so that differences of two levels are not all alike
        dice = level + 0.01 * draw - 0.002 * patient + 0.1 * (structure == "back") + spread
        rows.append((dataset, method, readout, labels, draw, seed_of(draw), steps, patient, structure, f"{dice:.4f}"))
    write_table(file.path, rows, COLUMNS)
    write_text(file.about, json.dumps(about))
    return file
