"""Processor time of a training step in PretextTrainer against a bare PyTorch loop, for the methods of volumes.

    python benchmarks/steps_3d.py [--width 8] [--cube 32 32 16] [--batch 4] [--steps 4] [--rounds 20] [--channels-last]

The loop has the same method, optimiser, data loader and memory order and nothing else: no guard, no clipping, no
averages. The two take turns, and turns to be first, so that a busy machine slows both. The ratio is the median of the
rounds' (bare / trainer), with its 95 % interval (of order statistics): beside other programs two bare loops differ by a
few per cent, which the interval has to show. --channels-last: as the bundles train.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import quantile_test
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medgenesis.data import SeededSampler
from medgenesis.engines import PretextMethod, PretextTrainer
from medgenesis.engines.batches import in_channels_last, weights_in_channels_last
from medgenesis.handlers import CollapseGuard
from medgenesis.methods import (
    DenseContrast,
    MaskedAutoencoder,
    ModelsGenesis,
    PositionRegression,
    RegionPrompts,
    SemanticGenesis,
    TransVW,
)
from medgenesis.networks import SparseUNet3D, UNet3D, YNet3D

CLASSES = 6
METHODS: dict[str, Callable[[int], PretextMethod]] = {
    "ModelsGenesis": lambda width: ModelsGenesis(UNet3D(width=width)),
    "SemanticGenesis": lambda width: SemanticGenesis(YNet3D(width=width, num_classes=CLASSES)),
    "TransVW": lambda width: TransVW(ModelsGenesis(UNet3D(width=width)), CLASSES),
    "MaskedAutoencoder": lambda width: MaskedAutoencoder(SparseUNet3D(width=width)),
    "RegionPrompts": lambda width: RegionPrompts(UNet3D(width=width, out_channels=16, activation=None)),
    "DenseContrast": lambda width: DenseContrast(UNet3D(width=width, out_channels=16, activation=None)),
    "PositionRegression": lambda width: PositionRegression(UNet3D(width=width, out_channels=3, activation=None)),
}


class Samples(Dataset):
    """One sample with the keys of all methods, again and again: cropping and corrupting are not what is measured."""

    def __init__(self, count: int, cube: list[int]) -> None:
        self.count = count
        blocks = torch.zeros(1, *cube, dtype=torch.bool)
        blocks[:, : cube[0] // 2] = True
        self.item = {name: torch.rand(1, *cube) for name in ("image", "target", "other", "prompt")}
        self.item |= {"mask": blocks, "prompt_mask": blocks.float(), "class": torch.tensor(1)}
        self.item |= {"offset": torch.ones(3, dtype=torch.long), "corners": torch.tensor([[0.2] * 3, [0.6] * 3])}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: object) -> dict[str, Tensor]:
        return self.item


def measure(name: str, args: argparse.Namespace) -> tuple[float, float, float, float, float]:
    """Median processor seconds of a bare step and of one in the trainer; the median ratio of a round, its interval."""
    samples = Samples(args.batch * args.steps, args.cube)
    if name == "RegionPrompts":
        samples.item["target"] = samples.item["prompt_mask"]
    loader = DataLoader(samples, args.batch, sampler=SeededSampler(len(samples)), drop_last=True)
    torch.manual_seed(0)
    method = METHODS[name](args.width)
    bare = METHODS[name](args.width)
    bare.load_state_dict(method.state_dict())
    plain_optimizer, optimizer = (torch.optim.Adam(one.parameters()) for one in (bare, method))
    guard = CollapseGuard(patience=10**9)
    settings = {"clip_norm": 1.0, "channels_last": args.channels_last}
    trainer = PretextTrainer("cpu", 0, loader, method, optimizer, train_handlers=[guard], **settings)
    if args.channels_last:
        weights_in_channels_last(bare)

    def by_hand() -> None:
        bare.train()
        for batch in loader:
            if args.channels_last:
                batch = {key: in_channels_last(value) for key, value in batch.items()}
            plain_optimizer.zero_grad()
            bare(batch)["loss"].backward()
            plain_optimizer.step()

    def by_trainer() -> None:
        trainer.state.max_epochs = (trainer.state.max_epochs or 0) + 1
        trainer.run()

    works = (by_hand, by_trainer)
    times: dict[Callable, list[float]] = {work: [] for work in works}
    for number in range(args.rounds + 1):
        for work in works[:: -1 if number % 2 else 1]:  # what comes second finds other caches
            times[work].append(_seconds(work) / args.steps)
    plain, ours = (np.array(times[work][1:]) for work in works)  # the first warms up
    interval = quantile_test(plain / ours, p=0.5).confidence_interval(0.95)
    return statistics.median(plain), statistics.median(ours), statistics.median(plain / ours), *interval


def _seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--cube", type=int, nargs=3, default=[32, 32, 16])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4, help="a round")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    order = "channels last" if args.channels_last else "channels first"
    print(f"width {args.width}, batch {args.batch} of {args.cube}, {order}, one thread, torch {torch.__version__}\n")
    print("| method | s a step, bare loop | s a step, PretextTrainer | bare / trainer | 95 % |")
    print("|---|---|---|---|---|", flush=True)
    for name in args.methods:
        plain, ours, ratio, low, high = measure(name, args)
        print(f"| {name} | {plain:.4f} | {ours:.4f} | {ratio:.3f} | {low:.3f} to {high:.3f} |", flush=True)


if __name__ == "__main__":
    main()
