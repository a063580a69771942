"""A training step of Models Genesis by the published program and by ours: loader included, one worker, one network.

    python benchmarks/published_step.py PATH/ModelsGenesis/pytorch [--width 8] [--batch 6] [--steps 8] [--rounds 5]

PATH is your own copy of the published program (github.com/MrGiovanni/ModelsGenesis), which is under a licence of its
own: nothing of it is here, and its generator of pairs runs as it is. Both sides learn from the same random cubes of
64 x 64 x 32 in memory, one after the other in each round, by SGD of the rate 1 e-3:

- theirs: the next batch of its generator, then the step, in one process, as its program has it;
- ours: `PatchDataset` with `RandGenesisd` in one worker, and `PretextTrainer`.

The network is `UNet3D` of `--width`; `--network theirs` takes the one of their program, for both (32 channels wide: a
step on a processor takes half a minute, beside which no loader counts). "Loader alone" is without any step.
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medgenesis.data import PatchDataset, RandAcceptedCropd
from medgenesis.engines import PretextTrainer
from medgenesis.methods import ModelsGenesis
from medgenesis.networks import UNet3D
from medgenesis.transforms import RandGenesisd

CUBE = (64, 64, 32)


def published(folder: Path, name: str) -> Any:
    """A module of the published program."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name)


def their_pairs(folder: Path, cubes: np.ndarray, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = published(folder, "utils").generate_pair(
        cubes, batch, published(folder, "config").models_genesis_config()
    )
    for corrupted, plain in generator:
        yield torch.from_numpy(corrupted).float(), torch.from_numpy(plain).float()


def by_hand(network: nn.Module, pairs: Iterator[tuple[Tensor, Tensor]], steps: int, device: torch.device) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    for _ in range(steps):
        corrupted, plain = (one.to(device) for one in next(pairs))
        loss = nn.functional.mse_loss(network(corrupted), plain)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # theirs notes it at every step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path, help="the folder pytorch of the published program")
    parser.add_argument("--network", choices=("ours", "theirs"), default="ours")
    parser.add_argument("--width", type=int, default=8, help="of our network")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--steps", type=int, default=8, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cubes = np.random.default_rng(0).random((args.batch * args.steps, 1, *CUBE), dtype=np.float32)
    items = [{"image": torch.from_numpy(cube)} for cube in cubes]

    def network() -> nn.Module:
        torch.manual_seed(0)
        one = published(args.program, "unet3d").UNet3D() if args.network == "theirs" else UNet3D(width=args.width)
        return one.to(args.device)

    pairs, theirs = their_pairs(args.program, cubes, args.batch), network()
    crop = RandAcceptedCropd("image", CUBE, "any")
    corrupt = RandGenesisd("image", preset="models")
    samples = PatchDataset(items, lambda item: item, crop, corrupt, cache="memory", patches_per_image=1)
    loader = samples.loader(args.batch, num_workers=1)
    method = ModelsGenesis(network())
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-3, momentum=0.9)
    trainer = PretextTrainer(args.device, 0, loader, method, optimizer)

    def trained() -> None:
        trainer.state.max_epochs = (trainer.state.max_epochs or 0) + 1
        trainer.run()

    works: dict[tuple[str, str], Callable[[], object]] = {
        ("loader alone", "theirs"): lambda: [next(pairs) for _ in range(args.steps)],
        ("loader alone", "ours"): lambda: list(loader),
        ("step", "theirs"): lambda: by_hand(theirs, pairs, args.steps, args.device),
        ("step", "ours"): trained,
    }
    times: dict[tuple[str, str], list[float]] = {work: [] for work in works}
    for _ in range(args.rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - start) / args.steps)
    print(f"batch {args.batch} of {CUBE}, network {args.network}, {args.device}, torch {torch.__version__}, one thread")
    print("| | published, s a batch | ours, one worker | published / ours |")
    print("|---|---|---|---|")
    for what in ("loader alone", "step"):
        pair = [times[what, whose][1:] for whose in ("theirs", "ours")]  # the first warms up
        ratio = statistics.median(one / other for one, other in zip(*pair, strict=True))
        print(f"| {what} | {statistics.median(pair[0]):.3f} | {statistics.median(pair[1]):.3f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
