"""Train the small weights that come with the bundles, on computed phantoms alone, within a quarter of an hour.

    python benchmarks/phantom_weights.py --out phantom_weights

Every step is a command that is printed, so that any of it can be typed by hand. Of each bundle the pre-trained and the
fine-tuned network are written to `bundles/<name>/models/` of the checkout, `phantom_demo_pretrained.pt` and
`phantom_demo.pt`, convolutions in half precision. The seed is fixed; on one machine the same files come out again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from medgenesis import bundles
from medgenesis.storage.checkpoint import read_checkpoint, save_checkpoint
from medgenesis.weights import settings_of, with_settings

SUBJECTS = 16
NARROW = {"_ct": ["--width=3", "--spacing_mm=[6,6,9]"], "_cxr": ["--backbone=resnet18_w8"]}
LIST = {"_ct": "datalist.json", "_cxr": "xray_datalist.json"}
EPOCHS = {"adam_cxr": ["--pretrain_epochs=4"]}
FILES = {"pretrained.pt": "phantom_demo_pretrained.pt", "model.pt": "phantom_demo.pt"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("phantom_weights"), help="folder of the phantoms and the runs")
    parser.add_argument("--bundle", choices=bundles.names(), nargs="+", default=bundles.names())
    args = parser.parse_args()
    out = args.out.absolute()
    _medgenesis("phantom", str(out / "data"), f"--subjects={SUBJECTS}")
    for name in args.bundle:
        train(name, out)
        for made, kept in FILES.items():
            keep(out / name / "models" / made, bundles.path(name) / "models" / kept)


def train(name: str, out: Path) -> None:
    """Pre-train (where patterns are learnt, discover them first) and fine-tune the bundle, below `out`."""
    family = next(ending for ending in NARROW if name.endswith(ending))
    if not (out / name).exists():
        bundles.copy(name, out / name)
    datalist, narrow = f"--datalist={out / 'data' / LIST[family]}", NARROW[family]
    discovers = (out / name / "configs" / "mine.yaml").exists()
    if discovers:
        _medgenesis("run", str(out / name), "mine", "quick", datalist, *narrow)
    source = [] if discovers else [datalist]
    _medgenesis("run", str(out / name), "pretrain", "quick", *source, *narrow, *EPOCHS.get(name, []))
    _medgenesis("run", str(out / name), "finetune", "quick", datalist)  # the other settings come with the weights


def keep(made: Path, kept: Path) -> None:
    """Write the weights with their settings, kernels in half precision: networks take them as they are."""
    weights = read_checkpoint(made)
    halved = {key: value.half() if value.ndim > 1 else value for key, value in weights.items()}
    kept.parent.mkdir(exist_ok=True)
    save_checkpoint(with_settings(halved, settings_of(made)), kept)
    print(f"{kept}: {kept.stat().st_size / 1e6:.2f} MB, {sum(map(torch.numel, halved.values()))} numbers", flush=True)


def _medgenesis(*words: str) -> None:
    print("medgenesis", *words, flush=True)
    subprocess.run([sys.executable, "-m", "medgenesis", *words], check=True)


if __name__ == "__main__":
    main()
