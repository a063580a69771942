"""How a bundle is best fine-tuned from one label: settings of `finetune.yaml` on validation patients of real sets.

    MEDGENESIS_DATA=… python -m benchmarks.few_labels --set hippocampus --weights FILE --out few_labels.csv

One labelled patient, the bundle's own `finetune.yaml`, everything as it stands but the grid and the width, which are
those of the evidence programme (`benchmarks/evidence`), and what an arm changes. Dice is of the set's validation
patients on the network's grid; no test patient is looked at. Rows are added as they come, and a run goes on where it
was stopped; `--table` prints the means.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from monai.bundle import ConfigParser

from benchmarks.evidence.sets import Case, StudySet, read_set, validation_draw
from medgenesis import bundles
from medgenesis.storage.fingerprints import file_fingerprint
from medgenesis.storage.tables import read_table, write_table
from medgenesis.transfer.protocols.last_dice import dice_after_finetuning

COLUMNS = ("set", "weights", "start", "settings", "steps", "draw", "dice")
_OVERLAY = ConfigParser.load_config_file(str(bundles.path("models_genesis_ct") / "configs" / "few_labels.yaml"))
ARMS = {
    "as it stands": {},
    "norm_batches 16": {"norm_batches": 16},
    "probe_first": {"probe_first": True, "norm_batches": 16},
    "head_levels all": {"head_levels": "all", "norm_batches": 16},
    "few_labels without warm-up": {**_OVERLAY, "warmup_epochs": 0},
    "few_labels": _OVERLAY,
}


def records_of(study: StudySet, cases: list[Case], folder: Path) -> list[dict]:
    """Images and labels of the network's grid as files; a label is the commonest of the voxels that it stands for."""
    found = []
    for case in cases:
        label = F.one_hot(case.label[0].long(), len(study.structures) + 1).movedim(-1, 0)[None].float()
        coarse = F.adaptive_avg_pool3d if label.ndim == 5 else F.adaptive_avg_pool2d
        label = coarse(label, case.image.shape[1:])[0].argmax(0)
        paths = [folder / f"{case.patient}-{len(found)}-{kind}.npy" for kind in ("image", "label")]
        np.save(paths[0], case.image[0].numpy())
        np.save(paths[1], label.numpy().astype(np.uint8))
        found.append(dict(zip(("image", "label"), map(str, paths), strict=True)))
    return found


def settings_of(study: StudySet) -> tuple[str, dict]:
    """The bundle, and what it is told of the grid and the network."""
    same = {"num_classes": len(study.structures) + 1, "intensity": "unit", "spacing_mm": None, "label_merge": {}}
    same |= {"num_workers": 0, "device": "cpu", "finetune_epochs": 1}
    if study.dims == 2:
        size = max(study.crop)
        return "caid_cxr", {**same, "backbone": study.size.backbone, "slices": 1, "size": size, "max_image_side": None}
    return "models_genesis_ct", {**same, "width": study.size.width, "cube_size": list(study.crop)}


def runs(args: argparse.Namespace) -> Iterator[tuple[str, str, int, int]]:
    for draw, steps, start in itertools.product(range(args.draws), args.steps, ("pretrained", "scratch")):
        for arm in args.arms:
            yield start, arm, steps, draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="hippocampus")
    parser.add_argument("--weights", type=Path, help="of the pre-training on the set's training patients")
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--work", type=Path, default=Path("evidence_work"), help="with the prepared set")
    parser.add_argument("--out", type=Path, default=Path("few_labels.csv"))
    parser.add_argument("--table", action="store_true", help="print the means of what is there, and run nothing")
    args = parser.parse_args()
    rows = read_table(args.out) if args.out.is_file() else []
    if args.table:
        print(table(rows))
        return
    if args.weights is None or not args.weights.is_file():
        parser.error(f"--weights: must be the file of a pre-training on {args.set}; found {args.weights}")
    torch.set_num_threads(1)
    study = read_set(args.set, args.work)
    name, settings = settings_of(study)
    known = {tuple(row[name] for name in COLUMNS[:-1]) for row in rows}
    file = file_fingerprint(args.weights)[:8]
    for start, arm, steps, draw in runs(args):
        key = (args.set, "none" if start == "scratch" else file, start, arm, str(steps), str(draw))
        if key in known:
            continue
        with tempfile.TemporaryDirectory() as folder:
            training, test = (
                records_of(study, cases, Path(folder))
                for cases in (study.labelled(1, validation_draw(draw)), study.cases["validation"])
            )
            dice = dice_after_finetuning(
                [bundles.path(name) / "configs" / "finetune.yaml"],
                training,
                test,
                Path(folder, "run"),
                init="scratch" if start == "scratch" else str(args.weights),
                seed=draw,
                iterations=steps,
                overrides={**settings, **ARMS[arm]},
            )
        rows.append(dict(zip(COLUMNS, (*key, f"{np.nanmean(dice):.4f}"), strict=True)))
        write_table(args.out, rows, COLUMNS)
        print(*key, f"{np.nanmean(dice):.3f}", flush=True)


def table(rows: list[dict]) -> str:
    """Mean Dice over draws, a line for each arm."""
    columns = sorted({(row["set"], int(row["steps"])) for row in rows})
    lines = ["| start | settings | " + " | ".join(f"{name}, {steps} steps" for name, steps in columns) + " |"]
    lines.append("|---" * (2 + len(columns)) + "|")
    for start, arm in dict.fromkeys((row["start"], row["settings"]) for row in rows):
        cells = []
        for column in columns:
            own = [
                float(row["dice"])
                for row in rows
                if (row["start"], row["settings"], row["set"], int(row["steps"])) == (start, arm, *column)
            ]
            cells.append(f"{np.mean(own):.3f} ({len(own)})" if own else "–")
        lines.append(f"| {start} | {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
