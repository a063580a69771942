"""Train the small weights that come with the bundles, on computed phantoms alone: half an hour of one core.

    python benchmarks/phantom_weights.py --out phantom_weights

What is run is printed as commands that can be typed. Of each bundle the pre-trained and the fine-tuned network are
written to `bundles/<name>/models/` of the checkout, `phantom_demo_pretrained.pt` and `phantom_demo.pt`, kernels in half
precision. The seed is fixed: on one machine, with one thread (OMP_NUM_THREADS=1), the same numbers come out again.
"""

import argparse
import logging
import time
from pathlib import Path

import torch
from monai.bundle import run as run_bundle

from medgenesis import bundles
from medgenesis.bundles.demo_weights import ORIGIN
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.storage.checkpoint import read_checkpoint, save_checkpoint
from medgenesis.weights import settings_of, with_settings

SUBJECTS = 16
NARROW = {"_ct": {"width": 3, "spacing_mm": [6, 6, 9]}, "_cxr": {"backbone": "resnet18_w8"}}
LIST = {"_ct": "datalist.json", "_cxr": "xray_datalist.json"}
EPOCHS = {  # of pre-training, each stage; of fine-tuning
    "_ct": ({"pretrain_epochs": 5}, {"finetune_epochs": 30, "learning_rate": 0.006}),
    "_cxr": ({"pretrain_epochs": 12}, {"finetune_epochs": 160, "slabs_per_image": 8, "learning_rate": 0.003}),
}
FILES = {"pretrained.pt": "phantom_demo_pretrained.pt", "model.pt": "phantom_demo.pt"}
LONGER = {  # CAiD's contrast outweighs its restoration, which is what can be looked at
    "caid_cxr": {
        "pretrain_epochs": 150,
        "method_def#context_weight": 200.0,
        "optimizer": {"_target_": "torch.optim.AdamW", "params": "$@method.parameters()", "lr": 0.002},
    }
}
CLASS_HEAD = "classifier."  # of Semantic Genesis: a third of its file, and no task takes it over


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("phantom_weights"), help="folder of the phantoms and the runs")
    parser.add_argument(
        "--bundle",
        choices=bundles.names(),
        nargs="+",
        default=[name for name in bundles.names() if name.endswith(tuple(NARROW))],
    )
    args = parser.parse_args()
    out = args.out.absolute()
    logging.getLogger("ignite").setLevel(logging.WARNING)
    write_phantoms(out / "data", SUBJECTS, seed=0)
    for name in args.bundle:
        train(name, out)
        for made, kept in FILES.items():
            keep(out / name / "models" / made, bundles.path(name) / "models" / kept)


def train(name: str, out: Path) -> None:
    """Pre-train (where patterns are learnt, discover them first) and fine-tune the bundle, below `out`."""
    family = next(ending for ending in NARROW if name.endswith(ending))
    if not (out / name).exists():
        bundles.copy(name, out / name)
    datalist, narrow = {"datalist": str(out / "data" / LIST[family])}, NARROW[family]
    pretrain, finetune = EPOCHS[family]
    pretrain = {**pretrain, **LONGER.get(name, {})}
    discovers = (out / name / "configs" / "mine.yaml").exists()
    if discovers:
        _run(out / name, "mine", **datalist, **narrow)
    _run(out / name, "pretrain", **({} if discovers else datalist), **narrow, **pretrain)
    _run(out / name, "finetune", **datalist, **narrow, **finetune)


def keep(made: Path, kept: Path) -> None:
    """Write the weights with their settings, kernels in half precision: networks take them as they are."""
    weights = {key: value for key, value in read_checkpoint(made).items() if not key.startswith(CLASS_HEAD)}
    halved = {key: value.half() if value.ndim > 1 else value for key, value in weights.items()}
    kept.parent.mkdir(exist_ok=True)
    save_checkpoint(with_settings(halved, settings_of(made), ORIGIN), kept)
    print(f"{kept}: {kept.stat().st_size / 1e6:.2f} MB, {sum(map(torch.numel, halved.values()))} numbers", flush=True)


def _run(bundle: Path, task: str, **settings) -> None:
    """What `medgenesis run BUNDLE TASK quick …` runs, in this process: the libraries are loaded once."""
    print("medgenesis run", bundle, task, "quick", *(f"--{id} {value}" for id, value in settings.items()), flush=True)
    began, staged = time.process_time(), task == "pretrain" and bundle.name == "adam_cxr"
    settings |= {"workflow_name": "medgenesis.engines.StagedWorkflow"} if staged else {}
    run_bundle(config_file=[str(bundle / "configs" / f"{name}.yaml") for name in (task, "quick")], **settings)
    print(f"{task}: {time.process_time() - began:.0f} s of processor", flush=True)


if __name__ == "__main__":
    main()
