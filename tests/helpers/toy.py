"""A small, complete pre-training run: seeded cubes, a network with dropout, every stateful handler."""

import csv
import sys
import time
from pathlib import Path

import numpy as np
import torch
from monai.handlers import LrScheduleHandler, ValidationHandler
from torch import nn
from torch.utils.data import DataLoader, Dataset

from medgenesis.data.sampler import SeededSampler
from medgenesis.engines import PretextEvaluator, PretextTrainer
from medgenesis.handlers import Checkpoints, EarlyStopping, MetricsCSV
from medgenesis.methods import ModelsGenesis


class ToyCubes(Dataset):
    """Pairs that are a function of (epoch, index) alone."""

    def __len__(self):
        return 14

    def __getitem__(self, key):
        epoch, index = key
        generator = np.random.default_rng([7, epoch, index])
        target = generator.random((1, 8, 8, 8), dtype=np.float32)
        noise = generator.random((1, 8, 8, 8), dtype=np.float32)
        return {"image": torch.from_numpy(0.5 * target + 0.5 * noise), "target": torch.from_numpy(target)}


def scheduled_rates(optimizer):
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=5)
    return torch.optim.lr_scheduler.ChainedScheduler([warmup, torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)])


def toy_trainer(
    folder: Path,
    *,
    epochs=3,
    accumulation_steps=2,
    patience=50,
    extra=(),
    lr=0.05,
    network=None,
    every=None,
    scheduled=True,
    datasets=None,
    **settings,
):
    torch.manual_seed(0)
    if network is None:
        network = nn.Sequential(
            nn.Conv3d(1, 4, 3, padding=1),
            nn.BatchNorm3d(4),
            nn.ReLU(),
            nn.Dropout3d(0.3),
            nn.Conv3d(4, 1, 1),
            nn.Sigmoid(),
        )
    method = ModelsGenesis(network)
    optimizer = torch.optim.SGD(method.parameters(), lr=lr, momentum=0.9)
    scheduler = scheduled_rates(optimizer) if scheduled else None
    cubes, judged = datasets or (ToyCubes(),) * 2
    loader = DataLoader(cubes, 2, sampler=SeededSampler(len(cubes), seed=3), drop_last=True)
    fixed = DataLoader(judged, 4, sampler=SeededSampler(len(judged), shuffle=False, fixed=True))
    validator = PretextEvaluator("cpu", fixed, method)
    handlers = [
        ValidationHandler(1, validator),
        *([LrScheduleHandler(scheduler, epoch_level=False, print_lr=False)] if scheduled else []),
        EarlyStopping(validator, patience),
        MetricsCSV(folder / "metrics.csv", validator),
        *extra,
        Checkpoints(folder, validator, export=folder / "models" / "pretrained.pt", every=every),
    ]
    return PretextTrainer(
        "cpu", epochs, loader, method, optimizer, scheduler, handlers, accumulation_steps=accumulation_steps, **settings
    )


def same(a, b):
    """Two state dicts, or samples, are equal to the last bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def rows(folder):
    """The lines of metrics.csv, without times."""
    with (folder / "metrics.csv").open() as file:
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "cubes_per_second")} for row in csv.DictReader(file)
        ]


def end_as_if_never_stopped(folder, extra=()):
    """Continue the run in `folder`/stopped, and compare it with one that was never stopped."""
    whole = toy_trainer(folder / "whole", extra=extra)
    whole.run()
    again = toy_trainer(folder / "stopped", extra=extra)
    again.run()
    same(again.method.state_dict(), whole.method.state_dict())
    assert rows(folder / "stopped") == rows(folder / "whole")
    same(*(torch.load(folder / name / "models" / "pretrained.pt", weights_only=True) for name in ("stopped", "whole")))


class Slow:
    """Give the test time to send a signal."""

    def attach(self, engine):
        from ignite.engine import Events

        engine.add_event_handler(
            Events.ITERATION_COMPLETED, lambda e: (print(e.state.iteration, flush=True), time.sleep(0.2))
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    trainer = toy_trainer(Path(sys.argv[1]), extra=[Slow()] if "slow" in sys.argv else ())
    trainer.run()


class Late:
    """Attaches a handler that is made of the toy run's own validator."""

    def __init__(self, make):
        self.make = make

    def attach(self, engine):
        self.make(validator_of(engine)).attach(engine)


def validator_of(trainer):
    for handlers in trainer._event_handlers.values():
        for handler, *_ in handlers:
            owner = getattr(handler, "__self__", handler)
            if isinstance(owner, ValidationHandler):
                return owner.validator
    raise LookupError
