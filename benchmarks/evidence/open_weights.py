"""Weights of the programme as files that anybody may load: small, with card, licence of the data and measured table.

    python -m benchmarks.evidence.open_weights hippocampus models_genesis --work /where/run/kept/them
    python -m benchmarks.evidence.open_weights hippocampus models_genesis   # the card alone, of the rows of now

It takes a pretext's weights of seed 0 from the work folder (`run` has made them) and writes NAME.pt and NAME.md into
`medgenesis/weights/experiment_files`, where `--init NAME` finds them. Only sets whose licence permits it are known.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from benchmarks.evidence import level_tables, tables
from benchmarks.evidence.found import Found, read_found
from benchmarks.evidence.page import counted
from benchmarks.evidence.pretexts import FEATURES, PRETEXTS, PROMPTED, WINDOW
from benchmarks.evidence.protocol import MEAN_MASK, RANDOM, SCRATCH, SEEDS
from benchmarks.evidence.rows import FOLDER as ROWS
from benchmarks.evidence.size import SMALL
from medgenesis.report import markdown_table
from medgenesis.storage import read_checkpoint, save_checkpoint, write_text
from medgenesis.weights import with_settings
from medgenesis.weights.experiments import FOLDER, PREFIX, SAID


@dataclass(frozen=True)
class OpenData:
    """A set whose licence permits to pass on what was learnt from it.

    Args:
        title: of the region and the modality, for names.
        licence: of the data, which the weights keep, as Hugging Face names it.
        terms: the same in words.
        attribution: whose data they are.
        address: of the data or of its paper.
        learnt_from: in words.
        expects: what an input must be.
        settings: the bundles' settings that make an image what the programme's network saw.
    """

    title: str
    licence: str
    terms: str
    attribution: str
    address: str
    learnt_from: str
    expects: str
    settings: dict[str, Any]


OPEN = {
    "hippocampus": OpenData(
        "hippocampus-mr",
        "cc-by-sa-4.0",
        "CC BY-SA 4.0, as the data: name the source, say what you changed, pass derived weights on alike",
        "Medical Segmentation Decathlon, Task04_Hippocampus (Vanderbilt University Medical Center); Simpson et al. "
        "2019, arXiv 1902.09063; Antonelli et al., Nature Communications 13:4128, 2022",
        "https://arxiv.org/abs/1902.09063",
        "122 T1 MR crops round the hippocampus, without their labels",
        "T1 MR of 2 mm, intensities scaled between the percentiles of mri_percentile, the region of the hippocampus",
        {"intensity": "mri_percentile", "spacing_mm": [2.0, 2.0, 2.0], "cube_size": [16, 24, 16]},
    ),
    "prostate": OpenData(
        "prostate-mr",
        "apache-2.0",
        "Apache-2.0, as the data",
        "DeepReg's MR and ultrasound of prostates, github.com/DeepRegNet/DeepReg",
        "https://github.com/DeepRegNet/DeepReg",
        "14 T2 MR of the prostate, without their labels",
        "T2 MR, every second voxel of volumes of 64 x 64 x 60 (their spacing of 0.4 mm is a placeholder)",
        {"intensity": "mri_percentile", "spacing_mm": [0.8, 0.8, 0.8], "cube_size": [24, 24, 24]},
    ),
    "nodules": OpenData(
        "lung-nodules-ct",
        "cc-by-3.0",
        "CC BY 3.0, as the data: name the source and say what you changed",
        "LIDC-IDRI (The Cancer Imaging Archive), Armato et al., Medical Physics 38:915, 2011; crops of "
        "github.com/PabloLION/ct-slicing",
        "https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX",
        "589 chest-CT crops round nodules of 326 patients, without their masks",
        "CT in HU of 1.5 mm, clipped to [-1000, 1000] and scaled to [0, 1], 30 mm round a nodule",
        {"intensity": "ct", "spacing_mm": [1.5, 1.5, 1.5], "cube_size": [24, 24, 8]},
    ),
}


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=list(OPEN))
    parser.add_argument("methods", nargs="+", choices=[name for name, one in PRETEXTS.items() if 3 in one.dims])
    parser.add_argument("--work", type=Path, help="folder of the weights, that of `run`; without: cards alone")
    parser.add_argument("--rows", type=Path, default=ROWS, help="folder of the rows")
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args(arguments)
    for method in args.methods:
        path = write_open(args.set, method, args.work, args.rows, args.out)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def write_open(dataset: str, method: str, work: Path | None, rows: Path, out: Path) -> Path:
    """Write weights and card of one pretext, and return the file of the weights.

    Args:
        dataset, method: of which pre-training.
        work: folder of its weights; None: those that are there stay, and the card alone is written.
        rows: folder of the rows.
        out: folder of both files.

    Raises:
        ValueError: the licence of the set does not permit it, or there are no weights or no rows.
    """
    if dataset not in OPEN:
        raise ValueError(
            f"set: must be one whose licence permits to pass weights on, {', '.join(OPEN)}; found {dataset!r}. Choose "
            "one of them."
        )
    found = next((one for one in read_found(rows) if one.dataset == dataset), None)
    if found is None or not any(key[0] == method for key in found.scores):
        raise ValueError(f"{rows}: must have test rows of {method} on {dataset}; found none. Run its cells first.")
    about, name = OPEN[dataset], f"{PREFIX}{OPEN[dataset].title}-{method.replace('_', '-')}"
    settings = {**about.settings, "width": SMALL.width, "in_channels": 1, "norm": "batch"}
    settings |= {"features": FEATURES} if method in (PROMPTED, "dense_contrast") else {}
    settings |= {"window": WINDOW} if method == PROMPTED else {}
    origin = {
        "name": name,
        "title": f"medgenesis, experimental weights of {method} on {dataset}",
        "address": about.address,
        "terms": f"{about.terms}. Data: {about.attribution}",
        "commercial_use": True,
        "expects": about.expects,
        "learnt_from": about.learnt_from,
        "source": {},
    }
    path = out / f"{name}.pt"
    if work is not None:
        weights = halved(read_checkpoint(_file_of(work / dataset, method)))
        save_checkpoint(with_settings(weights, settings, origin), path)
    elif not path.is_file():
        raise ValueError(f"{path}: must be there for a card alone; found none. Give --work with the weights.")
    header = {
        "license": about.licence,
        "library_name": "monai",
        "tags": ["medical", "self-supervised-learning", "experimental", "research-only"],
        "title": origin["title"],
        "network": f"UNet3D(width={SMALL.width})",
        "terms": about.terms,
    }
    head = yaml.safe_dump(header, sort_keys=False, width=1000)
    card = _card(name, method, _pretext_of(found, method, rows), about, settings, found)
    write_text(path.with_suffix(".md"), f"---\n{head}---\n\n{card}")
    return path


def _file_of(folder: Path, method: str) -> Path:
    """The weights of the first seed."""
    files = sorted(path for path in folder.glob(f"{method}-s{SEEDS[0]}-*.pt") if ".begun" not in path.name)
    if len(files) != 1:
        raise ValueError(
            f"{folder}: must hold one file {method}-s{SEEDS[0]}-*.pt; found {len(files)}. Run its cells first, and "
            "remove weights of other settings."
        )
    return files[0]


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Kernels in half precision, as those of the phantom: networks take them as they are."""
    return {key: value.half() if value.ndim > 1 else value for key, value in weights.items()}


def _pretext_of(found: Found, method: str, rows: Path) -> dict[str, Any]:
    """How the weights were trained, as it is kept with the rows."""
    file = next(rows.glob(f"{found.dataset}-{method}-*.csv"))
    about = json.loads((rows / "settings" / f"{file.stem[-8:]}.json").read_text(encoding="utf-8"))
    return dict(about["pretext"])


def _card(
    name: str, method: str, pretext: dict[str, Any], about: OpenData, settings: dict[str, Any], found: Found
) -> str:
    there, planned = counted(found)
    plain = ", ".join(f"{key} {value}" for key, value in pretext.items())
    own = (method, SCRATCH, RANDOM, MEAN_MASK, "method", "weights", "none")
    chosen = {
        "One labelled patient, fine-tuned, against scratch with as many steps": [
            row for row in tables.scratch_table(found) if row[1] in own
        ],
        "One labelled patient, fine-tuned with a head on all levels (as readout: the overlay few_labels)": [
            row for row in level_tables.levels_table(found) if row[1] in own
        ],
        "One labelled patient, nothing learnt of the network": [
            row for row in tables.frozen_table(found) if row[0] in own
        ],
        "The same against scratch, fine-tuned": [row for row in tables.untuned_table(found) if row[0] in own],
    }
    parts = [
        f"# {name}",
        f"**{SAID}.** They segment nothing by themselves: a network begins with them, or its features are read.",
        f"What: encoder and decoder of `UNet3D(width={SMALL.width})`, pre-trained by `{method}` ({plain}), seed "
        f"{SEEDS[0]}. Made by `python -m benchmarks.evidence.open_weights`; kernels are in half precision.",
        f"From: {about.learnt_from}. {about.attribution}. Changed: learnt from, nothing of an image is in the file.",
        f"Licence of the weights: {about.terms}. The code that reads them is Apache-2.0.",
        f"Input: {about.expects}. The file says so to every task: "
        + ", ".join(f"{key} {value}" for key, value in settings.items())
        + ".",
        "```bash\nmedgenesis bundle models_genesis_ct my_model\n"
        f"medgenesis run my_model finetune few_labels --datalist my_labels.json --init {name}\n```",
        "## What was measured",
        f"Dice on the {_patients(found)} test patients of `{found.dataset}` with the weights of {len(SEEDS)} seeds of "
        "this pre-training, of which this file is the first (in single precision), made from the rows of the programme "
        f"(docs/evidence.md of the checkout; {there} of {planned} planned cells had run). 95 % intervals over "
        "draws of the labelled patient and test patients. *No difference shown* means just that.",
        *(f"### {title}\n\n{markdown_table(table)}" for title, table in chosen.items() if len(table) > 1),
        "Of other regions, scanners or sequences nothing was measured. Compare on your own data: `medgenesis compare "
        f"--pretrained {name}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _patients(found: Found) -> int:
    return max(len(patients) for own in found.scores.values() for patients in own.values())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
