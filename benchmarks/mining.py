"""Mining: which auto-encoder finds patients of like anatomy, and what discovery and neighbours cost.

    python benchmarks/mining.py [--phantoms 24] [--epochs 30] [--width 8] [--seeds 1] [--folder DIR]
    python benchmarks/mining.py --only costs

Retrieval: each variant of the auto-encoder is trained on phantoms by the bundle's mine.yaml, beside a network that was
not trained. Of each phantom the k nearest by feature are compared with the others by what their label maps hold: the
volume and the extent of every organ, as fractions of the field of view, standardised over the phantoms. 0 is chance, 1
would be the k nearest by anatomy itself; the interval is what 95 % of 1000 random features (phantoms exchanged) get.
"""

import argparse
import importlib.util
import json
import resource
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.bundle import run as run_bundle
from monai.data import Dataset
from retrieval import anatomy, retrieval

from medgenesis import bundles
from medgenesis.datasets.phantom import LABELS, write_phantoms
from medgenesis.mining import MiningRun, VolumeFeatures, VolumeInfo
from medgenesis.mining.neighbours import NeighbourIndex
from medgenesis.networks import YNet3D
from medgenesis.storage.checkpoint import save_checkpoint

SIDE = 128


def mined_features(datalist: Path, folder: Path, features: str, args: argparse.Namespace, seed: int) -> VolumeFeatures:
    """The features that the bundle's mine.yaml computes."""
    root = bundles.path("semantic_genesis_ct")
    settings = {"width": args.width, "autoencoder_epochs": args.epochs, "volume_size": args.size, "seed": seed}
    settings |= {"volumes_per_batch": args.batch, "cache": "memory", "num_workers": 0, "features": features}
    few = {
        "classes": 2,
        "train_patients": 2,
        "validation_patients": 0,
        "crop_criterion": "any",
        "cube_size": [16, 16, 16],
    }
    paths = {"bundle_root": str(root), "datalist": str(datalist), "output_dir": str(folder)}
    run_bundle(config_file=f"{root}/configs/mine.yaml", **paths, **settings, **few)
    return VolumeFeatures.load(folder / "features.npz")


def compare_variants(folder: Path, args: argparse.Namespace) -> None:
    """Print the table of retrieval."""
    datalist = write_phantoms(folder / "phantoms", args.phantoms, 0, shape=args.shape, split=(0.8, 0.2, 0.0))
    listed = json.loads(datalist.read_text())
    labels = {r["patient"]: datalist.parent / r["label"] for s in ("training", "validation") for r in listed[s]}
    anatomies = {
        patient: anatomy(np.asarray(nib.load(path).dataobj), list(LABELS)[1:]) for patient, path in labels.items()
    }
    untrained = folder / "untrained.pt"
    rows = []
    for seed in range(args.seeds):
        torch.manual_seed(seed)
        save_checkpoint(YNet3D(width=args.width, decoder=False).state_dict(), untrained)
        for kind, features in (("unet", "unet"), ("bottleneck", "bottleneck"), ("untrained", str(untrained))):
            found = mined_features(datalist, folder / f"{kind}_{seed}", features, args, seed)
            truth = np.stack([anatomies[volume.patient] for volume in found.volumes])
            rows.append((kind, seed, *retrieval(found.vectors, truth, args.k)))
    print(f"\n{args.phantoms} phantoms of {args.shape}, seen at {args.size}, width {args.width}, {args.epochs} epochs")
    print(f"| features | seed | retrieval of {args.k} nearest | random features, 95 % |\n|---|---|---|---|")
    for kind, seed, score, low, high in rows:
        print(f"| {kind} | {seed} | {score:.2f} | {low:.2f} to {high:.2f} |")


class Drawn:
    """A volume of noise in place of a file's, the same each time."""

    def __call__(self, record: dict) -> dict:
        generator = torch.Generator().manual_seed(int(Path(record["image"]).stem))
        return {**record, "image": torch.rand(1, *(SIDE,) * 3, generator=generator)}


def time_mining(folder: Path) -> None:
    """Print the cost of `MiningRun.discover` in 200 volumes of 128^3: 44 classes, 50 patients each."""
    shape = (SIDE,) * 3
    sections = ["training"] * 160 + ["validation"] * 40
    volumes = [VolumeInfo(f"/{i}.nii", str(i), s, shape, (1, 1, 1), ((0,) * 3, shape)) for i, s in enumerate(sections)]
    vectors = np.random.default_rng(0).normal(size=(len(volumes), 512)).astype(np.float32)
    VolumeFeatures(vectors, volumes, stamps=[""] * len(volumes)).save(folder / "features.npz")
    records = [{"image": one.image, "patient": one.patient, "section": one.section} for one in volumes]
    settings = {"train_patients": 50, "criterion": "foreground", "multi_resolution": True}
    run = MiningRun(Dataset(records, Drawn()), folder, discovery=settings)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    table = run.discover()
    seconds = time.perf_counter() - began
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"\n{table.num_classes} classes in 200 volumes of {SIDE}^3: {seconds:.1f} s, peak {peak:.0f} MiB over the start"
    )


def neighbour_vectors(kind: str, count: int = 100_000, width: int = 512) -> np.ndarray:
    """Vectors that have near neighbours, because they form 500 clusters or lie along 20 directions; or noise."""
    rng = np.random.default_rng(0)
    if kind == "500 clusters":
        found = rng.normal(size=(500, width))[rng.integers(0, 500, count)] + 0.3 * rng.normal(size=(count, width))
    elif kind == "20 directions":
        found = rng.normal(size=(count, 20)) @ rng.normal(size=(20, width)) + 0.1 * rng.normal(size=(count, width))
    else:
        found = rng.normal(size=(count, width))
    return found.astype(np.float32)


def time_neighbours() -> None:
    """Print the seconds of 200 references among 10^5 vectors of 512, and what share of the neighbours faiss finds."""
    print(
        "\n200 nearest of 200 references among 10^5 vectors of 512\n| vectors | exact | faiss: graph, search, found |"
    )
    print("|---|---|---|")
    for kind in ("500 clusters", "20 directions", "noise"):
        features, answers = neighbour_vectors(kind), []
        began = [time.perf_counter()]
        for index in ("exact", "faiss") if importlib.util.find_spec("faiss") else ("exact",):
            built = NeighbourIndex(features, index)
            began.append(time.perf_counter())
            answers.append(built.nearest(features[:200], 200)[0])
            began.append(time.perf_counter())
        spent = np.diff(began)
        said = "not installed"
        if len(answers) == 2:
            found = np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(*answers, strict=True)])
            said = f"{spent[2]:.0f} s, {spent[3]:.1f} s, {found:.1%}"
        print(f"| {kind} | {spent[:2].sum():.1f} s | {said} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"phantoms": 24, "epochs": 30, "width": 8, "seeds": 1, "batch": 4, "k": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--shape", type=int, nargs=3, default=[48, 48, 48], help="voxels of a phantom")
    parser.add_argument("--size", type=int, nargs=3, default=[32, 32, 32], help="voxels that the network sees")
    parser.add_argument("--folder", type=Path, help="receives phantoms and runs (default: a temporary folder)")
    parser.add_argument("--only", choices=("retrieval", "costs"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if args.only != "costs":
            compare_variants(args.folder or Path(temporary), args)
        if args.only != "retrieval":
            time_mining(Path(temporary) / "costs")
            time_neighbours()


if __name__ == "__main__":
    main()
