"""Does a short pre-training on phantoms' X-rays teach anatomy? Adam's landmarks, as markdown tables.

    python benchmarks/dense_phantom.py [--seeds 0 1 2] [--xrays FOLDER]
    python benchmarks/dense_phantom.py --seeds 0 --steps 10     whether it runs

Landmarks of one X-ray are sought in those of other subjects, none of them seen in training, by the backbone, by
the same backbone before training (random init), by raw pixels, and without looking (the same place). Twice: in the
phantoms' X-rays as they are, all of one pose and exposure, and as patients come: tilted by up to 10 degrees, 0.9 to 1.1
times as large, moved, with other exposures, and with noise.

A seed takes about half an hour of one processor core. Tables give mean and standard deviation over the seeds.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from monai.transforms import Compose, NormalizeIntensityd, RandRotate
from phantom_xrays import Tables, parser_of, records_of, show_over_seeds, slabs, train, trained
from torch import Tensor, nn

from medgenesis.data import preprocessing
from medgenesis.data.landmarks import Landmarks, read_landmarks
from medgenesis.methods import Adam, initialise_from_stage
from medgenesis.networks import ResNet25D
from medgenesis.transfer import DenseEmbedder, dense_baselines, landmark_figures, same_position_figures, whole_figures
from medgenesis.transforms import (
    RandAnatomyCelld,
    RandBlur,
    RandBrightnessContrast,
    RandResizedCrop,
    RandSlab,
    RandTwoViewsd,
)


class Standardised(nn.Module):
    """Each window with mean 0 and sd 1, as Adam's views here: brightness is what a short training learns first."""

    def forward(self, x: Tensor) -> Tensor:
        sd, mean = torch.std_mean(x, dim=(2, 3), keepdim=True, correction=0)
        return (x - mean) / (sd + 1e-3)


def cell_views(level: int, args: argparse.Namespace) -> Compose:
    """Adam's, milder: a short training of small views keeps what is a few pixels away apart. No corner is black."""
    turn = RandRotate(math.radians(args.tilt), prob=1.0, padding_mode="border", keep_size=True, dtype=None)
    view = [RandResizedCrop(args.size, args.scale), RandBrightnessContrast(), RandBlur(), turn]
    both = NormalizeIntensityd(["image", "key"], channel_wise=True)
    cell = RandAnatomyCelld("image", level, anywhere=not args.grid)
    return Compose([cell, RandTwoViewsd("image", view), both])


def as_patients_come(images: dict[str, Tensor], landmarks: Landmarks, seed: int) -> tuple[dict[str, Tensor], Landmarks]:
    """X-rays in poses and exposures of their own, with their landmarks; those that leave the X-ray are left out."""
    rng = np.random.default_rng(seed)
    changed, moved = {}, {}
    for name, image in images.items():
        angle, size = math.radians(rng.uniform(-10, 10)), rng.uniform(0.9, 1.1)
        height, width = image.shape[1:]
        middle, shift = np.array([(width - 1) / 2, (height - 1) / 2]), rng.uniform(-8, 8, 2)
        turn = size * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        y, x = np.mgrid[:height, :width]
        source = (np.stack([x, y], axis=-1) - middle - shift) @ np.linalg.inv(turn).T + middle
        grid = torch.from_numpy(source / middle - 1)[None].to(image.dtype)
        xray = (
            nn.functional.grid_sample(image[None], grid, align_corners=True)[0].clamp(0, 1)
            ** 2
            ** rng.uniform(-0.7, 0.7)
        )
        noise = torch.from_numpy(rng.normal(0, 0.02, xray.shape)).to(xray.dtype)
        changed[name] = (xray + noise).clamp(0, 1)
        places = {mark: turn @ (np.array(place) - middle) + middle + shift for mark, place in landmarks[name].items()}
        moved[name] = {m: tuple(p) for m, p in places.items() if (p >= 0).all() and (p <= 2 * middle).all()}
    return changed, moved


def tests_of(folder: Path, count: int) -> dict[str, tuple[dict[str, Tensor], Landmarks]]:
    """X-rays of unseen subjects with their landmarks, by a title: as they are, and as patients come."""
    landmarks, prepare, crop = read_landmarks(folder / "xray_landmarks.csv"), preprocessing(), RandSlab(1)
    test = records_of(folder)[1][-count:]
    images = {f"xrays/{Path(record['image']).name}": crop(prepare(dict(record))["image"]) for record in test}
    return {
        "landmarks of unseen subjects": (images, landmarks),
        "landmarks of unseen subjects, posed and exposed as patients come": as_patients_come(images, landmarks, 0),
    }


def learn_landmarks(folder: Path, args: argparse.Namespace, seed: int) -> Tables:
    """Figures of one seed, of each test: each backbone's, and those of the same place."""
    training, _ = records_of(folder)
    torch.manual_seed(seed)
    backbone = ResNet25D("resnet18", 1)  # starts as the control "random init" of the same seed
    backbones = {**dense_baselines(backbone, seed=seed), "Adam": backbone}
    previous = None
    for level, prune_above in zip(args.levels, args.prune_above, strict=True):
        method = Adam(
            backbone,
            level=level,
            queue_size=args.queue,
            momentum=args.momentum,
            prune_above=prune_above,
            prune_after=args.prune_after,
            split_batch=args.split_batch,
        )
        if previous is not None:
            initialise_from_stage(previous.state_dict(), method)
        dataset = slabs(training, cell_views(level, args), args.steps * args.batch, seed)
        optimizer = torch.optim.AdamW(trained(method), args.lr, weight_decay=1e-4)  # SGD needs more steps
        train(method, dataset, args.batch, optimizer, seed)
        previous = method
    figures = {}
    for title, (images, landmarks) in tests_of(folder, args.test_xrays).items():
        rows = figures[title] = {}
        for name, network in backbones.items():
            embedder = DenseEmbedder(nn.Sequential(Standardised(), network), args.window, args.size)
            rows[name] = landmark_figures(embedder, images, landmarks, stride=args.stride, radii=args.radii)
            rows[name] |= whole_figures(embedder, list(images.values()), patches=100, seed=seed)
        rows["same place"] = same_position_figures(images, landmarks, args.radii)
    return figures


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--levels", type=int, nargs="+", default=[4])
    parser.add_argument("--prune-above", type=float, nargs="+", default=[0.8], help="one a level; inf: none")
    parser.add_argument("--prune-after", type=int, default=600, help="steps")
    parser.add_argument("--steps", type=int, default=1200, help="a level")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--queue", type=int, default=1024)
    parser.add_argument("--momentum", type=float, default=0.996, help="with less, the queue lags: its age is learnt")
    parser.add_argument("--split-batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=48, help="of a view and of a window at test")
    parser.add_argument("--scale", type=float, nargs=2, default=(0.8, 1.0), help="of a crop, share of the cell")
    parser.add_argument("--tilt", type=float, default=5.0, help="of a view, degrees either way")
    parser.add_argument("--grid", action="store_true", help="cells on Adam's grid alone, not at any place")
    parser.add_argument("--window", type=int, default=64, help="pixels of the X-ray (1.25 mm)")
    parser.add_argument("--stride", type=int, default=6)
    parser.add_argument("--radii", type=int, nargs="+", default=(8, 16))
    parser.add_argument("--test-xrays", type=int, default=6, help="the last; settings were chosen on the first six")
    args = parser.parse_args()
    show_over_seeds(args, lambda folder, seed: learn_landmarks(folder, args, seed))


if __name__ == "__main__":
    main()
