"""The README's few lines on what pre-training is worth, made of the rows of the primary end point."""

from pathlib import Path

from benchmarks.evidence import tables
from benchmarks.evidence.found import read_found
from benchmarks.evidence.in_short import AGAIN_SAID, asked_again, most_often, short_table
from benchmarks.evidence.protocol import PLANS
from benchmarks.evidence.rates import read_choices
from benchmarks.evidence.rows import FOLDER
from benchmarks.evidence.saved import in_a_sentence, saved_labels, saved_steps
from medgenesis.report import markdown_table
from medgenesis.storage import write_text

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- evidence: python -m benchmarks.evidence tabulate -->", "<!-- end of evidence -->"
_SHORT = (
    "Secondary, every set: the pre-trained way of fine-tuning and the way of scratch that were best on **validation** "
    "patients, compared on the test patients (`_levels`, `_probed`: a head on the maps of all levels, begun at random, "
    "or as a linear classifier fitted first, as the overlay `few_labels` does; intervals not corrected). The page says "
    "of each method and set whether it helps, harms, or shows no difference."
)
_SHOWN = ("steps", "method", "Dice (draws of all)", "minus scratch", "in words")


def write_readme(rows: Path = FOLDER, readme: Path = README) -> Path:
    """Replace what stands between the two marks of the README.

    Raises:
        ValueError: the marks are not there, once each and in this order.
        DatalistError: rows that do not go together.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme}: must have the lines {BEGIN!r} and {END!r}; found them not. Put them back.")
    write_text(readme, f"{before}{BEGIN}\n\n{lines(rows)}\n\n{END}{after}")
    return readme


def lines(rows: Path = FOLDER) -> str:
    """Each method at each number of steps against scratch with as many; and of every set what is best."""
    primary = next(name for name, plan in PLANS.items() if plan.primary)
    every = read_found(rows)
    found = next((one for one in every if one.dataset == primary), None)
    if found is None:
        return "No result is there yet."
    parts = [
        f"Real MR (`{primary}`), **one** labelled patient, {PLANS[primary].draws} draws, corrected over all planned "
        "methods; mean Dice of the test patients with 95 % intervals over draws and patients:",
        _columns(tables.scratch_table(found), _SHOWN),
    ]
    choices = read_choices(rows / "choices")
    short = short_table(every, choices)
    if len(short) > 1:
        parts += [_SHORT, markdown_table(short), most_often(short, every)]
    if again := asked_again(every):
        parts += [AGAIN_SAID, "\n".join(again)]
    steps, labels = saved_steps(every, choices), saved_labels(every, choices)
    parts += [in_a_sentence(steps, labels)] if steps or labels else []
    return "\n\n".join(parts)


def _columns(table: list[list[str]], names: tuple[str, ...]) -> str:
    """Some of the columns of a table, as Markdown."""
    places = [table[0].index(name) for name in names]
    return markdown_table([[row[place] for place in places] for row in table])
