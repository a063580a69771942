"""A whole transfer study: the four CT bundles' small weights of the phantom on three real data sets, and its page.

    MEDGENESIS_DATA=DIR python benchmarks/transfer_page.py --out study

What is run is printed as commands that can be typed; what is there already is read, features are computed once. The
tables of `docs/transfer-study.md` are made of `OUT/results.csv` and `OUT/comparisons.csv`: nothing on it is typed.
"""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from medgenesis import cli
from medgenesis.report import markdown_table
from medgenesis.report.text import figure_text, interval_text, p_text
from medgenesis.storage import read_table, write_text

PAGE = Path(__file__).resolve().parent.parent / "docs" / "transfer-study.md"
OURS = ("models_genesis_ct", "semantic_genesis_ct", "transvw_ct", "masked_autoencoder_ct")
CONTROLS = ("random:models_genesis_ct", "handmade")
SHOWN = "--geometry squash --size 32 32 32 --spacing own"
COMMANDS = (
    *(
        f"{question} --encoder {' '.join((*OURS, *CONTROLS))} --dataset ct_lidc_nodules shape_adrenalmnist3d {SHOWN}"
        for question in ("few-shot", "linear", "knn")
    ),
    *(f"{question} --encoder table --dataset ct_lidc_nodules" for question in ("few-shot", "linear", "knn")),
    f"propagate --encoder {' '.join(OURS)} {CONTROLS[0]} pixels --dataset mr_hippocampus --intensity mri_percentile "
    "--size 32 48 32 --spacing own --draws 10",
    "report",
)
MEASURES = (("few-shot", "episode_accuracy"), ("linear", "auc"), ("knn", "auc"), ("propagate", "dice"))
HEAD = """# A transfer study, whole

This page is made by `MEDGENESIS_DATA=DIR python benchmarks/transfer_page.py --out study` from the results; nothing
on it is typed. It asks the encoders of the four CT bundles that come with medgenesis, whose small weights (width 3)
**know computed phantoms alone**, how well they serve three real data sets: malignant or benign lung nodules on CT
(`ct_lidc_nodules`), the shape of adrenal glands (`shape_adrenalmnist3d`), and the two parts of the hippocampus on
MR, with one labelled patient (`mr_hippocampus`). It shows what a study is, not what self-supervision can do: such
weights are not expected to be better than their controls, and the tables say whether they are. What each question
does: [How well does an encoder transfer?](howto/transfer.md)

`random:models_genesis_ct` is the same network untrained, `handmade` a histogram with sizes and places of
brightness, `table` the nodule's measured diameter and its kin, `pixels` the image itself. Values with 95 %
intervals over patients; of few-shot's `episode_accuracy` ± 1.96 sd/√episodes, as in the study.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("study"), help="folder of the study")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page that is written")
    args = parser.parse_args()
    for command in COMMANDS:
        words = ["transfer", *shlex.split(command), "--out", str(args.out)]
        print("medgenesis", shlex.join(words), flush=True)
        if cli.main(words) != 0:
            raise SystemExit("the command above has failed")
    write_text(args.page, page(args.out))


def page(folder: Path) -> str:
    """The page, of the tables in a study's folder."""
    results, pairs = read_table(folder / "results.csv"), read_table(folder / "comparisons.csv")
    parts = [HEAD, "```bash", *(f"medgenesis transfer {one} --out study" for one in COMMANDS), "```", ""]
    for dataset in dict.fromkeys(row["dataset"] for row in results):
        own = [row for row in results if row["dataset"] == dataset]
        asked = [(question, measure) for question, measure in MEASURES if any(r["question"] == question for r in own)]
        encoders = [one for one in (*OURS, *CONTROLS, "pixels", "table") if any(r["encoder"] == one for r in own)]
        rows = [["encoder", *(f"{question}, {measure}" for question, measure in asked)]]
        rows += [[f"`{one}`", *(_cell(own, one, *what) for what in asked)] for one in encoders]
        if "propagate" in dict(asked):
            rows[0].append("the place alone, Dice")
            for row, one in zip(rows[1:], encoders, strict=True):
                row.append(_cell(own, one, "propagate", "same_place_dice"))
        parts += [f"## {dataset}", "", markdown_table(rows), "", *_against_random(pairs, dataset, dict(asked)), ""]
    return "\n".join(parts).rstrip() + "\n"


def _cell(rows: Sequence[Mapping[str, str]], encoder: str, question: str, measure: str) -> str:
    found = [row for row in rows if (row["encoder"], row["question"]) == (encoder, question) and row[measure] != ""]
    if not found:
        return "–"
    ends = {end: float(found[0][f"{measure}_{end}"] or "nan") for end in ("low", "high")}
    return figure_text({"value": float(found[0][measure]), **ends})


def _against_random(pairs: Sequence[Mapping[str, str]], dataset: str, asked: Mapping[str, str]) -> list[str]:
    """A line for each of ours: its paired difference from the untrained network."""
    lines = []
    for pair in pairs:
        names = (pair["one"], pair["other"])
        ours = next((name for name in names if name in OURS), None)
        measure = "accuracy" if pair["question"] == "few-shot" else asked.get(pair["question"])
        if pair["dataset"] != dataset or CONTROLS[0] not in names or ours is None or pair["measure"] != measure:
            continue
        sign = 1 if names[0] == ours else -1
        value, *ends = (sign * float(pair[end]) for end in ("difference", "low", "high"))
        shown = float(pair["p"]) < 0.05
        said = "no difference shown" if not shown else "better" if value > 0 else "worse"
        lines.append(
            f"- {pair['question']}, {measure}: `{ours}` against the untrained network "
            f"{interval_text(value, *sorted(ends), '+.3f')}, p {p_text(float(pair['p']))}, not corrected: **{said}**."
        )
    return lines


if __name__ == "__main__":
    main()
