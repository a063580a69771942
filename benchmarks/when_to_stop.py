"""How long is a pre-training worth it? Loss and frozen probe of a short one on real MR, as a table and a figure.

    MEDGENESIS_DATA=… python -m benchmarks.when_to_stop OUT     # minutes of a core; docs/costs is made anew

Models Genesis of width 4 on crops of the hippocampus (`mr_hippocampus`). A ridge classifier reads the structure that a
cell of the cube lies in from the frozen encoder, of patients that it was not fitted to (`FrozenProbe`): what the
restoration loss does not say.
"""

import os
import sys
from pathlib import Path

import numpy as np
from monai.bundle import ConfigWorkflow

from benchmarks.evidence.figures import write_chart
from medgenesis import bundles
from medgenesis.data import make_datalist, write_datalist
from medgenesis.storage.tables import read_table, write_table

DATA = Path(os.environ.get("MEDGENESIS_DATA", "shared/data"))
PAGE = Path(__file__).parents[1] / "docs" / "costs"
SETTINGS = {
    "width": 4,
    "cube_size": [32, 32, 32],
    "crop_criterion": "any",
    "intensity": "mri_percentile",
    "patches_per_image": 1,
    "batch_size": 2,
    "pretrain_epochs": 16,
    "probe#every": 2,
    "num_workers": 0,
    "device": "cpu",
}
PROBED = 6  # patients of each section, so that a probe takes seconds
COLUMNS = ("step", "training loss", "validation loss", "probe")


def lists(out: Path) -> tuple[Path, Path]:
    """The list that is learnt from, and a short one for the probe."""
    folder = DATA / "mr_hippocampus"
    whole = make_datalist(folder / "images", folder / "labels", splits=(0.6, 0.1, 0.3), modality="MR")
    paths = out / "hippocampus.json", out / "probed.json"
    write_datalist(whole, paths[0])
    write_datalist({**whole, **{name: whole[name][:PROBED] for name in ("training", "validation")}}, paths[1])
    return paths


def pretrain(out: Path) -> list[dict[str, float]]:
    """A row for each epoch at which the probe was asked."""
    learnt, probed = lists(out)
    root = bundles.copy("models_genesis_ct", out / "bundle")
    run = ConfigWorkflow(
        str(root / "configs" / "pretrain.yaml"),
        workflow_type="train",
        logging_file=False,
        datalist=str(learnt),
        probe_datalist=str(probed),
        **SETTINGS,
    )
    run.initialize()
    run.run()
    run.finalize()
    return rows_of(root / "runs" / "pretrain" / "metrics.csv")


def rows_of(path: Path) -> list[dict[str, float]]:
    """Of a training's metrics.csv, the epochs at which the probe was asked."""
    rows = [
        row for row in read_table(path) if int(row["epoch"]) == 1 or int(row["epoch"]) % SETTINGS["probe#every"] == 0
    ]
    names = {"step": "iteration", "training loss": "loss", "validation loss": "val_loss", "probe": "probe"}
    return [{name: float(row[of]) for name, of in names.items()} for row in rows]


def draw(rows: list[dict[str, float]]) -> None:
    """Write the table and the figure."""
    PAGE.mkdir(exist_ok=True)
    write_table(PAGE / "when_to_stop.csv", rows, COLUMNS, decimals={"step": ".0f"})
    columns = {name: np.array([row[name] for row in rows]) for name in COLUMNS}
    # each as a share of its first figure: the two have no unit in common
    curves = {name: (columns["step"], columns[name] / columns[name][0]) for name in ("validation loss", "probe")}
    said = "The loss falls, the frozen probe rises, each as a share of what it was after the first epoch"
    write_chart(PAGE / "when_to_stop.svg", curves, "steps", "as a share of the first epoch", said)


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rows = pretrain(out)
    draw(rows)
    print("| " + " | ".join(COLUMNS) + " |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['step']:.0f} | {row['training loss']:.4f} | {row['validation loss']:.4f} | {row['probe']:.3f} |")


if __name__ == "__main__":
    main()
