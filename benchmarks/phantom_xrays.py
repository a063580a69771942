"""What the programs on computed X-rays share: the X-rays, one epoch of training, figures over seeds as tables."""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from monai.handlers import LrScheduleHandler
from torch import nn
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, load_datalist, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import CollapseGuard
from medgenesis.transforms import RandSlabd

Rows = dict[str, dict[str, float]]  # row -> column -> figure
Tables = dict[str, Rows]  # by title


def parser_of(program: str) -> argparse.ArgumentParser:
    """With the options that all have; `program` is its docstring."""
    parser = argparse.ArgumentParser(description=program.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--xrays", type=Path, help="folder that keeps the phantoms for the next run")
    parser.add_argument("--subjects", type=int, default=72, help="a sixth of them for the test")
    return parser


def show_over_seeds(args: argparse.Namespace, learn: Callable[[Path, int], Tables]) -> None:
    """Print what each seed finds on the X-rays of a folder, then means, and sd where there are several seeds."""
    figures = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.xrays or Path(temporary)
        if not (folder / "xray_landmarks.csv").is_file():  # kept from a run before; a fine grid where X-rays are fine
            write_phantoms(folder, args.subjects, 5, shape=(128, 48, 128), split=(5 / 6, 0, 1 / 6))
        for seed in args.seeds:
            start, processor = time.perf_counter(), time.process_time()
            found = learn(folder, seed)
            wall, processor = time.perf_counter() - start, time.process_time() - processor
            print(f"seed {seed}: {wall:.0f} s, {processor:.0f} s of them on the processor")
            for title, rows in found.items():
                print(f"  {title}")
                for name, row in rows.items():
                    print(f"    {name}:", *(f"{column} {value:.4g};" for column, value in row.items()), flush=True)
                    for column, value in row.items():
                        figures[title][name][column].append(value)
    for title, rows in figures.items():
        _show(rows, f"{title}, {len(args.seeds)} seeds")


def records_of(folder: Path) -> tuple[list[dict], list[dict]]:
    """Of the training and of the test subjects."""
    return tuple(load_datalist(folder / "xray_datalist.json", section) for section in ("training", "test"))


def slabs(records: list[dict], views: Callable, count: int, seed: int) -> PatchDataset:
    """So many samples; an X-ray is a slab of one slice here, for speed."""
    every = -(-count // len(records))
    keys = ("image", "key", "target")
    settings = {"patches_per_image": every, "seed": seed, "cache": "memory", "keys": keys}
    return PatchDataset(records, preprocessing(), RandSlabd("image", 1), views, **settings)


def train(method: nn.Module, dataset: PatchDataset, batch: int, optimizer: torch.optim.Optimizer, seed: int) -> None:
    """One epoch, in one cosine of the learning rate."""
    loader = DataLoader(dataset, batch, sampler=dataset.sampler(), drop_last=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader))
    handlers = [LrScheduleHandler(schedule, print_lr=False, epoch_level=False), CollapseGuard()]
    start = time.perf_counter()
    trainer = PretextTrainer("cpu", 1, loader, method, optimizer, schedule, handlers, seed=seed)
    trainer.run()
    parts = ", ".join(f"{name} {float(value):.3f}" for name, value in trainer.state.metrics.items())
    print(f"  {type(method).__name__}: {len(loader)} steps, {time.perf_counter() - start:.0f} s; {parts}", flush=True)


def trained(method: nn.Module) -> list[nn.Parameter]:
    """The weights that are learnt."""
    return [weight for weight in method.parameters() if weight.requires_grad]


def _show(figures: dict[str, dict[str, list[float]]], title: str) -> None:
    columns = list(dict.fromkeys(column for row in figures.values() for column in row))
    print(f"\n| {title} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, row in figures.items():
        cells = [_cell(row[column]) if column in row else "" for column in columns]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _cell(values: Iterable[float]) -> str:
    values = list(values)
    mean = f"{statistics.mean(values):.4g}"
    return f"{mean} ± {statistics.stdev(values):.2g}" if len(values) > 1 else mean
