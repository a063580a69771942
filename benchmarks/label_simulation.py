"""What a label is worth: Dice against the number of labels, by the start of a training and by who chose the studies.

    python benchmarks/label_simulation.py OUT [--sets phantoms mr_hippocampus mr_us_prostate] [--draws 20]
                                              [--labels 1 3] [--choices random typical coverage strange uncertain]

A draw is a random pool of studies without labels and a random choice of some of them. From the same pool the strategies
of `medgenesis label-app` choose too: `typical`, `coverage`, `strange` (the highest restoration error), and `uncertain`
(the most typical first, then where the draft from those labelled so far changes its mind most on the mirror image; the
draft stands for the app's model). Each choice is trained on from scratch, and from a network that was pre-trained
(Models Genesis) on all studies that are not tested. A `draft` is no training, as in the app: a linear classifier of
voxels on a frozen network, a random or the pre-trained one. `few_labels` is a training by the overlay of that name:
the head sees all levels and begins as such a classifier, the rate rises over a tenth of the steps, and batch norm is
estimated again, before and after.
On coarse grids, by a narrow network in few steps, equal for all. OUT/rows.csv has a row a run, and is gone on with;
`label_simulation_page.py` makes the page of the documentation from it. Real scans lie below MEDGENESIS_DATA.
"""

import argparse
import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgenesis.data import preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import rate_schedule
from medgenesis.handlers.norm_statistics import reestimate_norms
from medgenesis.inference import embed_volume, fit_voxel_probe, restoration_error
from medgenesis.label_app.choice import farthest, flip_disagreement, most_typical
from medgenesis.losses import hard_dice, segmentation_loss
from medgenesis.networks import UNet3D
from medgenesis.networks.probed_head import begin_head
from medgenesis.storage.tables import read_table, write_table
from medgenesis.transforms import RandGenesis
from medgenesis.weights import load_pretrained

DATA = Path(os.environ.get("MEDGENESIS_DATA", "../shared/data"))
WIDTH, BATCH, RATE = 4, 2, 3e-3
PRETEXT_STEPS, STEPS = 300, 30
MOST, POOL, TESTED = 5, 12, 8
SPACING = {
    "phantoms": 22.4,
    "mr_hippocampus": 3.5,
    "mr_us_prostate": 2.0,
}  # mm; the last by its headers, see README.txt
STARTS = ("scratch", "ours", "draft of scratch", "draft of ours", "few_labels of scratch", "few_labels of ours")
CHOICES = ("random", "typical", "coverage", "strange", "uncertain")
KEY = ("set", "draw", "choice", "labels", "start")


class Study(NamedTuple):
    name: str
    image: Tensor
    """(1, *spatial) in [0, 1], spacing of the training, sides that divide by 8."""
    label: Tensor
    """(1, *spatial) likewise."""
    truth: Tensor
    """(*spatial), on the study's own grid."""
    side: tuple[int, ...]
    """of `image` before it was padded."""


def studies_of(name: str, out: Path) -> tuple[list[Study], int]:
    """The studies of a set, and its number of classes."""
    if name == "phantoms":
        write_phantoms(out / "phantoms", 32, seed=11, shape=(32, 32, 24))
        merge, intensity = {1: "1,2,7", 2: "6"}, "ct"
        images = sorted((out / "phantoms" / "images").glob("*.nii.gz"))
        labels = [out / "phantoms" / "labels" / path.name for path in images]
    elif name == "mr_hippocampus":
        merge, intensity = {1: "1", 2: "2"}, "mri_percentile"
        images = sorted((DATA / name / "images").glob("*.nii.gz"))[:60]
        labels = [DATA / name / "labels" / path.name for path in images]
    else:
        merge, intensity = {1: "1"}, "mri_percentile"
        images = sorted((DATA / name / "mr_images").glob("*.nii.gz"))
        labels = [_gland(DATA / name / "mr_labels" / path.name, out / "glands") for path in images]
    options = {"label_keys": ["label"], "intensity": intensity, "spacing_mm": SPACING[name], "label_merge": merge}
    coarse, own = preprocessing(**options), preprocessing(**options, resample_labels=False)
    return [_study(image, label, coarse, own) for image, label in zip(images, labels, strict=True)], 1 + len(merge)


def _gland(label: Path, folder: Path) -> Path:
    """The first channel, the prostate gland; the others are landmarks."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = nib.load(label)
    values = np.asarray(stored.dataobj).astype(np.uint8)
    nib.save(nib.Nifti1Image(values[..., 0] if values.ndim == 4 else values, stored.affine), folder / label.name)
    return folder / label.name


def _study(image: Path, label: Path, coarse, own) -> Study:
    record = {"image": str(image), "label": str(label)}
    found, truth = coarse(record), own(record)["label"][0].as_tensor()
    side = tuple(found["image"].shape[1:])
    sizes = [part for axis in reversed(side) for part in (0, -axis % 8)]
    padded = [F.pad(found[key].as_tensor(), sizes) for key in ("image", "label")]
    return Study(image.name, padded[0], padded[1].long(), truth.long(), side)


def batches(studies: list[Study], steps: int, rng: np.random.Generator) -> Iterator[list[Study]]:
    """Random studies, as many at a time as a batch has, padded to one size."""
    for _ in range(steps):
        yield [studies[i] for i in rng.integers(0, len(studies), BATCH)]


def stacked(volumes: list[Tensor]) -> Tensor:
    largest = [max(one.shape[axis] for one in volumes) for axis in (1, 2, 3)]
    return torch.stack(
        [F.pad(one, [p for axis in (3, 2, 1) for p in (0, largest[axis - 1] - one.shape[axis])]) for one in volumes]
    )


def pretrained(studies: list[Study], seed: int = 0) -> nn.Module:
    """A network that has learnt to restore."""
    torch.manual_seed(seed)
    network, rng = UNet3D(1, 1, width=WIDTH), np.random.default_rng(seed)
    corrupt = RandGenesis(rates={"flip": 0.0}).set_random_state(seed)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    for some in batches(studies, PRETEXT_STEPS, rng):
        target = stacked([one.image for one in some])
        seen = torch.stack([torch.as_tensor(np.asarray(corrupt(one)[0])) for one in target])
        loss = (network(seen) - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return network.eval()


def segmenter(start: str, base: nn.Module, training: list[Study], classes: int, seed: int) -> nn.Module:
    """A network that gives logits, trained on a few studies."""
    torch.manual_seed(seed)
    if start.startswith("draft"):
        frozen = base if start.endswith("ours") else UNet3D(1, 1, width=WIDTH).eval()
        return fit_voxel_probe(frozen, [(one.image, one.label) for one in training], classes, per_class=300).eval()
    few_labels, ours = start.startswith("few_labels"), start.endswith("ours")
    network = UNet3D(1, classes, width=WIDTH, activation=None, head_levels="all" if few_labels else "last")
    if ours:
        load_pretrained(network, base.state_dict(), skip_head="always")
    if few_labels:
        reestimate_norms(network, [one.image[None] for one in training], "cpu")
        begin_head(network, [(one.image, one.label) for one in training], per_class=300, seed=seed)
        network.train()
    loss_of = segmentation_loss("dice_ce", classes)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = rate_schedule(optimizer, epochs=STEPS, warmup_epochs=STEPS // 10 if few_labels else 0)
    for some in batches(training, STEPS, np.random.default_rng(seed)):
        loss = loss_of(network(stacked([one.image for one in some])), stacked([one.label for one in some]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    if few_labels:
        reestimate_norms(network, [one.image[None] for one in training], "cpu")
    return network.eval()


@torch.no_grad()
def dice(network: nn.Module, tested: list[Study], classes: int) -> float:
    """Mean over studies and classes, on the studies' own grids."""
    found = []
    for one in tested:
        logits = network(one.image[None])[..., : one.side[0], : one.side[1], : one.side[2]]
        answer = F.interpolate(logits, one.truth.shape, mode="trilinear", align_corners=False).argmax(1)[0]
        there = [value for value in range(1, classes) if (one.truth == value).any()]
        found += [hard_dice(answer == value, one.truth == value) for value in there]  # never None
    return float(np.mean(found))


class Prepared(NamedTuple):
    base: nn.Module
    """Pre-trained."""
    free: dict[str, Study]
    tested: list[Study]
    classes: int
    vectors: dict[str, np.ndarray]
    errors: dict[str, float]


@functools.cache
def prepared(name: str, out: Path) -> Prepared:
    """The studies of a set, and what pre-training makes of those without labels."""
    studies, classes = studies_of(name, out)
    order = np.random.default_rng(0).permutation(len(studies))
    tested, free = [studies[i] for i in order[:TESTED]], [studies[i] for i in order[TESTED:]]
    base, file = UNet3D(1, 1, width=WIDTH), out / f"{name}.pt"
    if file.is_file():
        base.load_state_dict(torch.load(file, weights_only=True))
    else:
        base = pretrained(free)
        torch.save(base.state_dict(), file)
    base.eval()
    corrupt = RandGenesis(rates={"flip": 0.0})
    vectors = {one.name: embed_volume(base, one.image, one.image.shape[1:]) for one in free}
    errors = {
        one.name: restoration_error(base, one.image, corrupt.set_random_state(0), one.image.shape[1:]) for one in free
    }
    return Prepared(base, {one.name: one for one in free}, tested, classes, vectors, errors)


def chosen(choice: str, known: Prepared, pool: list[str], random: list[str], draw: int) -> list[str]:
    """Names that a way of choosing asks to be labelled, the first one first."""
    if choice == "random":
        return random
    if choice == "strange":
        return sorted(pool, key=lambda name: -known.errors[name])[:MOST]
    vectors, found = {name: known.vectors[name] for name in pool}, []
    while len(found) < MOST:
        if choice == "uncertain" and found:
            training = [known.free[name] for name in found]
            network = segmenter("draft of ours", known.base, training, known.classes, draw)
            doubts = {name: flip_disagreement(network, known.free[name].image) for name in pool if name not in found}
            found.append(max(sorted(doubts), key=lambda name: doubts[name]))
        else:
            found.append((farthest if choice == "coverage" else most_typical)(vectors, found)[0])
    return found


def simulate(name: str, out: Path, draw: int, arms: list[tuple], rows: list[dict]) -> None:
    """Add the rows of a draw that are lacking; `arms` are (choice, labels, start)."""
    done = {tuple(str(row[key]) for key in KEY) for row in rows}
    wanted = [one for one in arms if (name, str(draw), *map(str, one)) not in done]
    if not wanted:
        return
    known, rng = prepared(name, out), np.random.default_rng([1, draw])
    pool = rng.permutation(sorted(known.free))[:POOL].tolist()
    random = rng.permutation(pool)[:MOST].tolist()
    names = {choice: chosen(choice, known, pool, random, draw) for choice in {choice for choice, _, _ in wanted}}
    for choice, count, start in wanted:
        began = time.process_time()
        training = [known.free[one] for one in names[choice][:count]]
        network = segmenter(start, known.base, training, known.classes, draw)
        found = dice(network, known.tested, known.classes)
        row = dict(zip(KEY, (name, draw, choice, count, start), strict=True))
        rows.append({**row, "dice": f"{found:.4f}", "seconds": f"{time.process_time() - began:.1f}"})
        write_table(out / "rows.csv", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(SPACING), choices=list(SPACING))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--labels", nargs="+", type=int, default=[1, 3], choices=range(1, MOST + 1))
    parser.add_argument("--choices", nargs="+", default=list(CHOICES), choices=CHOICES)
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=STARTS)
    args = parser.parse_args()
    torch.set_num_threads(1)  # small volumes; several programs of it run beside each other
    rows: list[dict] = list(read_table(args.out / "rows.csv")) if (args.out / "rows.csv").is_file() else []
    args.out.mkdir(parents=True, exist_ok=True)
    arms = [(choice, count, start) for count in args.labels for choice in args.choices for start in args.starts]
    for draw in range(args.draws):  # a draw of each set, then the next: what is there is of all sets
        for name in args.sets:
            simulate(name, args.out, draw, arms, rows)


if __name__ == "__main__":
    main()
