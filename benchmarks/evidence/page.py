"""The docs' page of the programme, made of the rows: nothing on it is typed."""

import os
from pathlib import Path

from benchmarks.evidence import level_tables, rates, tables
from benchmarks.evidence.figures import write_chart
from benchmarks.evidence.found import Found, read_found
from benchmarks.evidence.in_short import AGAIN_SAID, asked_again, most_often, short_table
from benchmarks.evidence.probing import LEVELS, ON_ALL_LEVELS, SCRATCH_WAYS
from benchmarks.evidence.protocol import LONG, PLANS, SEEDS, STEPS, VALIDATION_DRAWS, planned
from benchmarks.evidence.rows import FOLDER
from benchmarks.evidence.saved import LABELS_SAID, STEPS_SAID, saved_labels, saved_steps
from benchmarks.evidence.size import SMALL, Size
from medgenesis.report import markdown_table
from medgenesis.storage import read_table, write_text

PROTOCOL = Path(__file__).parent / "PROTOCOL.md"
DOCS = Path(__file__).resolve().parents[2] / "docs"
_COMMAND = "python -m benchmarks.evidence"


def write_page(rows: Path = FOLDER, docs: Path = DOCS, size: Size = SMALL) -> Path:
    """Write `evidence.md` and its charts below `docs`; returns the page.

    Args:
        rows: their folder.
        docs: folder of the page.
        size: that the rows are of; the primary end point is of the small one.

    Raises:
        DatalistError: rows that do not go together, see `read_found`.
    """
    every = read_found(rows)
    option = "" if size == SMALL else f" --size {size.name}"
    parts = [_HEAD.format(command=_COMMAND, option=option, protocol=Path(os.path.relpath(PROTOCOL, docs)).as_posix())]
    parts += [] if size == SMALL else [_OTHER_SIZE.format(size=size)]
    if not every:
        parts.append("No test rows are there yet.")
    choices = rates.read_choices(rows / "choices")
    short = short_table(every, choices)
    parts += ["## In short", _SHORT, markdown_table(short), most_often(short, every)] if len(short) > 1 else []
    again = asked_again(every)
    parts += [AGAIN_SAID, "\n".join(again)] if again else []
    for said, saved in ((STEPS_SAID, saved_steps(every, choices)), (LABELS_SAID, saved_labels(every, choices))):
        parts += [said, "\n".join(one.line() for one in saved)] if saved else []
    for found in every:
        parts += _section(found, docs / "evidence", rows, size)
    parts += _rates(choices) if size == SMALL else []
    path = docs / "evidence.md"
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def sentence(found: Found) -> list[str]:
    """What was found, in words, a line for each method and number of steps."""
    lines = []
    for (method, steps), (gain, p) in tables.against_scratch(found).items():
        said, shown = tables.in_words(gain, p, found.dataset), tables.interval(gain, "+")
        if said == "helps":
            said = f"**helps**: {shown} Dice"
        elif said == "harms":
            said = f"**harms**: {shown} Dice"
        elif said == "no difference shown":
            said = f"**no difference shown**: {shown} Dice"
        else:
            said = f"**{said}**; so far {shown} Dice"
        lines.append(f"- `{method}`, one label, {steps} steps: {said}")
    for (method, steps), (gains, p) in sorted(level_tables.over_scratches(found).items()):
        said = level_tables.in_words(gains, p, PLANS[found.dataset].draws)
        begun = "begun at random" if method in LEVELS else "begun as its frozen readout"
        named = {one: name for one, name in SCRATCH_WAYS.items() if one in gains}
        over = ", ".join(f"{tables.interval(gains[one], '+')} over {name}" for one, name in named.items())
        lines.append(
            f"- `{ON_ALL_LEVELS[method]}`, head on all levels, {begun}, one label, {steps} steps: **{said}**: {over}"
        )
    return lines


def counted(found: Found) -> tuple[int, int]:
    """How many of the planned test cells have rows."""
    parts = (found.scores, {} if found.again is None else found.again.scores)
    there = {(key, cell) for part in parts for key, own in part.items() for cell in own}
    cells = list(planned(found.dataset))
    return sum(((c.method, c.readout, c.labels, c.steps), (c.draw, c.seed)) in there for c in cells), len(cells)


def _section(found: Found, folder: Path, rows: Path, size: Size) -> list[str]:
    name, (there, of) = found.dataset, counted(found)
    over_steps, over_labels = tables.curves_over_steps(found), tables.curves_over_labels(found)
    said = "\n".join(sentence(found)) or "Nothing to compare yet."
    return [
        f"## {name}",
        ("The primary end point. " if PLANS[name].primary and size == SMALL else "Secondary. ")
        + f"{there} of {of} planned cells have run.",
        *([_WITHOUT.format(", ".join(f"`{one}`" for one in PLANS[name].without))] if PLANS[name].without else []),
        said,
        *_table(f"{name}: one labelled patient, against scratch with as many steps", tables.scratch_table(found)),
        *_table(f"{name}: fewer steps against more", tables.fewer_steps_table(found)),
        *_table(f"{name}: without fine-tuning", tables.frozen_table(found)),
        *_table(f"{name}: without fine-tuning, against scratch", tables.untuned_table(found)),
        *_table(f"{name}: with a head on all levels, one label", level_tables.levels_table(found)),
        *_table(f"{name}: asked again with other draws", level_tables.again_table(found)),
        *_table(f"{name}: with a head on all levels, fewer steps against more", level_tables.levels_fewer_table(found)),
        *_table(f"{name}: after {LONG} steps, one label", level_tables.long_table(found)),
        *_table(f"{name}: Dice against steps, one label", tables.steps_table(found)),
        *_chart(folder, f"{name}-steps", over_steps, "log2 of the steps", f"{name}: Dice against steps, one label"),
        *_table(f"{name}: Dice against labels", tables.labels_table(found)),
        *_table(f"{name}: fewer labels against more", tables.fewer_labels_table(found)),
        *_chart(folder, f"{name}-labels", over_labels, "labelled patients", f"{name}: Dice against labelled patients"),
        *_table(f"{name}: which patients to label first", tables.choosing_table(found)),
        *_table(f"{name}: what validation chose", _choices(name, rows / "choices")),
    ]


def _rates(choices: list[rates.Choice]) -> list[str]:
    """The learning rates of all sets, and what follows for the default of the bundles."""
    if not choices:
        return []
    said = "\n".join(f"- {line}" for line in rates.what_follows(choices, rates.default_rate()))
    return [
        "## Learning rates of fine-tuning, over the sets",
        _RATES,
        said,
        *_table("What one rate for all would lose", rates.lost_table(choices)),
        *_table("Validation Dice by rate", rates.rates_table(choices)),
    ]


def _table(title: str, table: list[list[str]]) -> list[str]:
    """A heading and a table; nothing where the table has its own heading alone."""
    return [f"### {title}", markdown_table(table)] if len(table) > 1 else []


def _chart(folder: Path, name: str, curves: dict, x_label: str, alt: str) -> list[str]:
    """A chart and the line that shows it; nothing where no curve has two points."""
    if not any(len(x) > 1 for x, _ in curves.values()):
        return []
    write_chart(folder / f"{name}.svg", curves, x_label, "mean Dice", alt)
    return [f"![{alt}](evidence/{name}.svg)"]


def _choices(dataset: str, folder: Path) -> list[list[str]]:
    """A line for each choice: the candidates with their mean Dice on validation, the chosen one in bold."""
    lines = [["method", "readout", "labels", "steps", "rate or penalty: mean Dice of the validation patients"]]
    for path in sorted(folder.glob(f"{dataset}-*.csv")):
        rows = read_table(path)
        cells = [
            f"**{row['value']}: {row['dice']}**" if row["chosen"] == "True" else f"{row['value']}: {row['dice']}"
            for row in rows
        ]
        lines.append([rows[0][name] for name in ("method", "readout", "labels", "steps")] + [", ".join(cells)])
    return lines


_WITHOUT = """Not run, for they cannot be trained here: {} (the protocol says why). The corrections count them all the
same."""

_SHORT = """One labelled patient. Of all pre-trained ways of fine-tuning (each method; with the usual head, and with a
head on all levels begun at random, `_levels`, or as its frozen readout, `_probed`, as the overlay `few_labels` of the
bundles begins) and of all ways of scratch that have run, the one that was best on the **validation** patients, with its
Dice on the **test** patients. The differences say what a user gains over plain training from scratch, and what of it is
due to the pre-training. Intervals are not corrected for their number; verdicts are in the sections."""

_RATES = f"""Chosen on validation patients alone: mean Dice of each rate over {VALIDATION_DRAWS} draws of the labelled
patients, the best in bold. What a rate loses is its distance from the best one of the same line.
Adam, warm-up over a tenth of the steps, then cosine to 0; encoder, decoder and head at one rate. `few_labels`
is a head on all levels that begins as the frozen readout, much as with the bundles' overlay of that name."""

_OTHER_SIZE = """**All of this page is secondary**: it is of the size `{size.name}`
(networks of width {size.width}, images: {size.backbone}; pretexts of {size.longer} times the steps),
the primary end point is that of the small one."""

_HEAD = f"""# Evidence: does pre-training help with few labels?

This page is made by `{{command}} tabulate{{option}}` from the rows of the programme; nothing on it is typed.
What is compared, and how, was fixed before the first test figure was seen:
[the protocol]({{protocol}}).
`{{command}} run{{option}}` computes the cells that are missing, and goes on where it was stopped.

Mean Dice [95 % interval over draws of the labelled patients and test patients];
each draw has one of {len(SEEDS)} seeds.
The primary end point is `hippocampus`, one label with {" and ".join(map(str, STEPS))} steps of fine-tuning,
{PLANS["hippocampus"].draws} draws, corrected over all methods (Holm); scratch with {LONG} steps
stands beside. All other tables are secondary. No verdict is given before all draws are there, and methods
without a gain stand here as large as the others."""
