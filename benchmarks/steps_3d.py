"""Processor time of a training step in PretextTrainer against a bare PyTorch loop, for the methods of volumes.

    python benchmarks/steps_3d.py [--width 8] [--cube 32 32 16] [--batch 4] [--steps 4] [--rounds 5]

The loop has the same method, optimiser and data loader and nothing else: no guard, no clipping, no averages. The two
take turns, round by round, so that a busy machine slows both. The ratio is the median of the rounds' (bare / trainer).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medgenesis.data import SeededSampler
from medgenesis.engines import PretextMethod, PretextTrainer
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


def measure(name: str, args: argparse.Namespace) -> tuple[float, float, float]:
    """Median processor seconds of a bare step and of one in the trainer, and the median ratio of a round."""
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
    trainer = PretextTrainer("cpu", 0, loader, method, optimizer, train_handlers=[guard], clip_norm=1.0)

    def by_hand() -> None:
        bare.train()
        for batch in loader:
            plain_optimizer.zero_grad()
            bare(batch)["loss"].backward()
            plain_optimizer.step()

    def by_trainer() -> None:
        trainer.state.max_epochs = (trainer.state.max_epochs or 0) + 1
        trainer.run()

    rounds = [tuple(_seconds(work) / args.steps for work in (by_hand, by_trainer)) for _ in range(args.rounds + 1)]
    plain, ours = (statistics.median(times) for times in zip(*rounds[1:], strict=True))  # the first warms up
    return plain, ours, statistics.median(hand / engine for hand, engine in rounds[1:])


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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"width {args.width}, batch {args.batch} of {args.cube}, one thread, torch {torch.__version__}\n", flush=True)
    print("| method | s a step, bare loop | s a step, PretextTrainer | bare / trainer |")
    print("|---|---|---|---|")
    for name in args.methods:
        plain, ours, ratio = measure(name, args)
        print(f"| {name} | {plain:.3f} | {ours:.3f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
