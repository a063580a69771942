"""How long is a pre-training worth it? Loss and frozen probe of a short one on real MR, as a table and a figure.

    MEDGENESIS_DATA=… python -m benchmarks.when_to_stop OUT     # five minutes of a core; then docs/costs is made anew

Models Genesis of width 8 on crops of the hippocampus (`mr_hippocampus`). A ridge classifier reads the structure that a
cell of the cube lies in from the frozen encoder, of patients that it was not fitted to (`FrozenProbe`): what the
restoration loss does not say.
"""

import sys
from pathlib import Path

import numpy as np
from monai.bundle import ConfigWorkflow

from benchmarks.evidence.figures import write_chart
from benchmarks.real_scans import DATA
from medgenesis import bundles
from medgenesis.data import make_datalist, write_datalist
from medgenesis.storage.tables import read_table, write_table

PAGE = Path(__file__).parents[1] / "docs" / "costs"
SETTINGS = {
    "width": 8,
    "cube_size": [32, 32, 32],
    "crop_criterion": "any",
    "intensity": "mri_percentile",
    "patches_per_image": 1,
    "batch_size": 4,
    "pretrain_epochs": 50,
    "probe#every": 5,
    "num_workers": 0,
    "device": "cpu",
}
PROBED = 12  # patients of each section, so that a probe takes seconds
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
    steps = len(run.parser.get_parsed_content("train#dataloader"))
    run.finalize()
    rows = read_table(root / "runs" / "pretrain" / "metrics.csv")
    asked = [row for row in rows if int(row["epoch"]) == 1 or int(row["epoch"]) % SETTINGS["probe#every"] == 0]
    names = {"training loss": "loss", "validation loss": "val_loss", "probe": "probe"}
    return [
        {"step": steps * int(row["epoch"]), **{name: float(row[of]) for name, of in names.items()}} for row in asked
    ]


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rows = pretrain(out)
    PAGE.mkdir(exist_ok=True)
    write_table(PAGE / "when_to_stop.csv", rows, COLUMNS, decimals=".4f")
    steps = np.array([row["step"] for row in rows], dtype=float)
    start = rows[0]
    shares = {  # of the first figure: the two have no unit in common
        "validation loss": np.array([row["validation loss"] for row in rows]) / start["validation loss"],
        "probe": np.array([row["probe"] for row in rows]) / start["probe"],
    }
    write_chart(
        PAGE / "when_to_stop.svg",
        {name: (steps, values) for name, values in shares.items()},
        "steps",
        "as a share of the first epoch",
        "The loss falls, the frozen probe rises, each as a share of what it was after the first epoch",
    )
    print("| " + " | ".join(COLUMNS) + " |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['step']:.0f} | {row['training loss']:.4f} | {row['validation loss']:.4f} | {row['probe']:.3f} |")


if __name__ == "__main__":
    main()
