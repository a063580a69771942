"""Are mined patterns anatomy, and can they be told apart? On phantoms, whose anatomy is known.

    python benchmarks/mined_anatomy.py [--phantoms 40] [--classes 20] [--apart 15 5] [--epochs 30] [--folder DIR]

For each distance between classes: patterns are mined by the bundle's mine.yaml (auto-encoder, features, neighbours,
places). A cube is named by the most frequent label of its voxels, once with background (fat, muscle and air, most of
any cube) among the labels, once with organs alone. Table 1: how often a cube bears the name of its class's
reference, beside cubes at random places of the same patients that the same crop criterion accepts. Table 2: how often
the class is told right by Semantic Genesis' encoder (variant "en" of the bundle's pretrain.yaml), in phantoms that it
never saw, whole and corrupted as in training.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from monai.bundle import run as run_bundle

from medgenesis import bundles
from medgenesis.data import preprocessing
from medgenesis.data.crop_criteria import get_criterion
from medgenesis.data.crops import draw_cube
from medgenesis.datasets.phantom import LABELS, write_phantoms
from medgenesis.mining import PatternDataset, PatternTable
from medgenesis.networks import YNet3D
from medgenesis.storage.checkpoint import read_checkpoint
from medgenesis.transforms import RandGenesisd

RULE, RANDOM_PLACES, SECTIONS = "foreground", 5, ("training", "validation")


def mine(datalist: Path, folder: Path, apart: float, args: argparse.Namespace) -> PatternTable:
    """The table that the bundle's mine.yaml makes."""
    training, validation = (len(json.loads(datalist.read_text())[name]) for name in SECTIONS)
    root = bundles.path("semantic_genesis_ct")
    run_bundle(
        config_file=f"{root}/configs/mine.yaml",
        bundle_root=str(root),
        datalist=str(datalist),
        output_dir=str(folder),
        classes=args.classes,
        train_patients=training,
        validation_patients=validation,
        cube_size=args.cube,
        crop_criterion=RULE,
        min_distance=apart,
        volume_size=[32, 32, 32],
        autoencoder_epochs=20,
        **cpu(args),
    )
    return PatternTable.load(folder / "patterns.json")


def cpu(args: argparse.Namespace) -> dict:
    return {"width": args.width, "cache": "memory", "num_workers": 0, "seed": args.seed}


def shares(table: PatternTable, datalist: Path, organs: bool, seed: int) -> tuple[float, float]:
    """Share of cubes named as their class's reference is, and that of cubes at random places."""
    prepared = preprocessing(keys=["image"], label_keys=["label"])
    listed = json.loads(datalist.read_text())
    paths = [
        (datalist.parent / r["image"], datalist.parent / r["label"]) for s in listed if s in SECTIONS for r in listed[s]
    ]
    volumes = {str(image.resolve()): prepared({"image": str(image), "label": str(label)}) for image, label in paths}
    labels = {name: volume["label"].as_tensor()[0].numpy().astype(int) for name, volume in volumes.items()}
    images = {name: volume["image"].as_tensor() for name, volume in volumes.items()}
    size, rng = table.settings["cube_size"], np.random.RandomState(seed)

    def name_of(image: str, origin: list[int]) -> int:
        cube = labels[image][tuple(slice(o, o + s) for o, s in zip(origin, size, strict=True))]
        counts = np.bincount(cube.ravel(), minlength=len(LABELS))
        counts[0] *= not organs
        return int(counts.argmax())

    wanted = {item["class"]: name_of(item["image"], item["origin"]) for item in table.references}
    own, chance = [], []
    for item in (item for item in table.training + table.validation if not item["reference"]):
        own.append(name_of(item["image"], item["origin"]) == wanted[item["class"]])
        for _ in range(RANDOM_PLACES):
            origin, _ = draw_cube(images[item["image"]], size, get_criterion(RULE), rng, tries=100)
            chance.append(name_of(item["image"], origin) == wanted[item["class"]])
    return float(np.mean(own)), float(np.mean(chance))


def learn(table_path: Path, folder: Path, args: argparse.Namespace) -> Path:
    """Weights of the encoder that learnt to tell the classes, by the bundle's pretrain.yaml."""
    root, weights = bundles.path("semantic_genesis_ct"), folder / "pretrained_en.pt"
    run_bundle(
        config_file=f"{root}/configs/pretrain.yaml",
        bundle_root=str(root),
        patterns=str(table_path),
        output_dir=str(folder),
        weights=str(weights),
        variant="en",
        batch_size=30,
        pretrain_epochs=args.epochs,
        lr_step_epochs=max(1, args.epochs // 3),
        **cpu(args),
    )
    return weights


@torch.no_grad()
def accuracy(table: PatternTable, weights: Path, corrupted: bool, args: argparse.Namespace) -> float:
    """Share of right classes in the validation section."""
    network = YNet3D(width=args.width, num_classes=table.num_classes, decoder=False).eval()
    network.load_state_dict(read_checkpoint(weights))
    corrupt = RandGenesisd("image", preset="semantic") if corrupted else None
    dataset = PatternDataset(table, preprocessing(), corrupt, section="validation", seed=args.seed, cache="memory")
    samples = [dataset[i] for i in range(len(dataset))]
    classes = torch.tensor([int(item["class"]) for item in table.validation])
    cubes = torch.stack([sample["image"] for sample in samples])
    found = torch.cat([network(batch)[1].argmax(1) for batch in cubes.split(32)])
    return float((found == classes).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"phantoms": 40, "classes": 20, "epochs": 30, "width": 8, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--shape", type=int, nargs=3, default=[64, 64, 64], help="voxels of a phantom")
    parser.add_argument("--cube", type=int, nargs=3, default=[16, 16, 16], help="voxels of a cube")
    parser.add_argument("--apart", type=float, nargs="+", default=[15, 5], help="least voxels between two classes")
    parser.add_argument("--folder", type=Path, help="receives phantoms and runs (default: a temporary folder)")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        datalist = write_phantoms(
            folder / "phantoms", args.phantoms, args.seed, shape=args.shape, split=(0.75, 0.25, 0)
        )
        for apart in args.apart:
            here = folder / f"apart_{apart:g}"
            table = mine(datalist, here / "mined", apart, args)
            weights = learn(here / "mined" / "patterns.json", here / "pretrain", args)
            named = [shares(table, datalist, organs, args.seed) for organs in (True, False)]
            told = [accuracy(table, weights, corrupted, args) for corrupted in (False, True)]
            rows.append((apart, named, told))
    print(f"\n{args.phantoms} phantoms of {args.shape}, {args.classes} classes, cubes of {args.cube}, rule {RULE}")
    print("| apart (voxels) | labels | share of the class's own | at random places | ratio |\n|---|---|---|---|---|")
    for apart, named, _ in rows:
        for kind, (own, chance) in zip(("organs", "with background"), named, strict=True):
            print(f"| {apart:g} | {kind} | {own:.2f} | {chance:.2f} | {own / chance:.1f} |")
    print(f"\nwidth {args.width}, {args.epochs} epochs; chance is {1 / args.classes:.2f}")
    print("| apart (voxels) | accuracy on unseen phantoms, whole cubes | corrupted cubes |\n|---|---|---|")
    for apart, _, (whole, corrupted) in rows:
        print(f"| {apart:g} | {whole:.2f} | {corrupted:.2f} |")


if __name__ == "__main__":
    main()
