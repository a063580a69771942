"""Kills at seeded moments, and the same command again: the results must be those of a run that was never stopped.

    python benchmarks/kills.py --kills 100 --tasks pretrain finetune classify mine compare inference

Each task of tiny phantoms is run once to its end, for its duration and results. Then copies of the same start are
killed at a moment drawn from the seed (SIGKILL mostly, some SIGTERM and SIGINT), typed again, and compared: weights by
tensor, tables without their times, label maps by voxel. Exit status 1 where one differs.

Every run is a fork of this process, in which Python has imported everything: kills fall into the work.
"""

import argparse
import csv
import json
import os
import runpy
import shutil
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

import medgenesis.cli.compare
import medgenesis.engines
import medgenesis.handlers
import medgenesis.methods
import medgenesis.mining
import medgenesis.networks
import medgenesis.transfer  # noqa: F401 - imported before the fork
from medgenesis import bundles
from medgenesis.datasets.phantom import write_phantoms

SMALL = {"width": 2, "cube_size": "[16,16,16]", "spacing_mm": "$None", "num_workers": 0, "device": "cpu"}
TASKS = {  # bundle, extra settings
    "pretrain": (
        "models_genesis_ct",
        {"pretrain_epochs": 3, "batch_size": 2, "patches_per_image": 4, "crop_criterion": "any", "save_every": 2},
    ),
    "finetune": ("models_genesis_ct", {"finetune_epochs": 4, "val_interval": 1, "init": "scratch"}),
    "classify": ("models_genesis_ct", {"classify_epochs": 4, "val_interval": 1, "init": "scratch"}),
    "inference": ("models_genesis_ct", {}),
    "mine": (
        "semantic_genesis_ct",
        {
            **{"classes": 2, "train_patients": 3, "validation_patients": 1, "volume_size": "[16,16,16]"},
            **{"crop_criterion": "any", "min_distance": 1, "coordinates": "voxel"},
            **{"autoencoder_epochs": 5, "lr_patience": 1},  # the rate is reduced, and must stay so
        },
    ),
    "compare": ("models_genesis_ct", {}),
}
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_TIMES = ("seconds", "cubes_per_second")
_TABLES = (
    *("metrics.csv", "restoration.csv", "cases.csv", "predictions.csv", "auc.csv"),
    *("table.md", "patterns.json", "dice.json"),
)
_NEEDS = {"inference": "finetune", "compare": "pretrain"}  # what must have been run before


def prepare(folder: Path) -> None:
    """Phantoms with classes, and a bundle of each kind."""
    path = write_phantoms(folder / "phantoms", 8, seed=0, shape=(32, 32, 32), split=(0.5, 0.25, 0.25))
    listed = json.loads(path.read_text())
    for section in ("training", "validation", "test"):
        for number, record in enumerate(listed[section]):
            record["class"] = number % 2
    path.write_text(json.dumps(listed))
    for name in {bundle for bundle, _ in TASKS.values()}:
        bundles.copy(name, folder / name)


def command(task: str, folder: Path) -> list[str]:
    """What a user types behind `python -m`."""
    bundle, settings = TASKS[task]
    datalist = str(folder / "phantoms" / "datalist.json")
    if task == "compare":
        shared = ["--bundle", folder / bundle, "--datalist", datalist, "--out", folder / "compared"]
        size = ["--labels", 2, "--seeds", 1, "--iterations", 4]
        words = [word for id, value in SMALL.items() for word in ("--set", f"{id}={value}")]
        return ["medgenesis", "compare", *map(str, (*shared, *size)), *words]
    config = str(folder / bundle / "configs" / f"{task}.yaml")
    ids = {**SMALL, "datalist": datalist, **settings}
    words = [word for id, value in ids.items() for word in (f"--{id}", str(value))]
    return ["monai.bundle", "run", "--config_file", config, *words]


def run(task: str, folder: Path, kill: tuple[float, int] | None = None) -> int:
    """The exit status, below 0 for a signal; `kill`: seconds from the start, and a signal."""
    process = os.fork()
    if process == 0:
        os._exit(_typed(command(task, folder), folder))
    if kill is not None:
        ends = time.monotonic() + kill[0]
        while time.monotonic() < ends:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.kill(process, kill[1])
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _typed(words: list[str], folder: Path) -> int:
    """Run `python -m words` in this process, in `folder`, with its output in log.txt there."""
    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = [words[0], *words[1:]]
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def results(folder: Path) -> dict[str, object]:
    """What a user takes away, by its place: weights, tables, label maps."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith("phantoms/") or "/cache/" in name or "/earlier/" in name or not path.is_file():
            continue
        if path.suffix == ".pt" and path.name != "best.pt" and "last" not in path.name:
            found[name] = torch.load(path, weights_only=True)
        elif path.name in _TABLES and path.suffix == ".csv":
            with path.open(newline="") as file:
                found[name] = [{k: v for k, v in row.items() if k not in _TIMES} for row in csv.DictReader(file)]
        elif path.name in _TABLES:
            found[name] = path.read_text().replace(str(folder), "")
        elif path.name.endswith(".nii.gz"):
            found[name] = np.asarray(nib.load(path).dataobj)
    return found


def differing(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """Names of what is not the same."""
    return [name for name in sorted({*one, *other}) if not _equal(one.get(name), other.get(name))]


def _equal(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return type(a) is type(b) and a == b


def try_task(task: str, start: Path, work: Path, kills: int, seed: int) -> list[tuple[str, float, str, str]]:
    """Rows: task, second of the kill, signal, "equal" or what differs."""
    whole, again = work / "whole", work / "again"
    for folder in (whole, again):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, whole, symlinks=True)
    began = time.perf_counter()
    if run(task, whole):
        return [(task, 0.0, "none", f"the run itself fails: {(whole / 'log.txt').read_text()[-300:]}")]
    length, expected = time.perf_counter() - began, results(whole)
    generator = np.random.default_rng([seed, sorted(TASKS).index(task)])
    rows = []
    for _ in range(kills):
        second = float(generator.uniform(0.0, 1.0) * length)
        number = SIGNALS[int(generator.integers(len(SIGNALS)))]
        shutil.rmtree(again, ignore_errors=True)
        shutil.copytree(start, again, symlinks=True)
        run(task, again, (second, number))
        status = run(task, again)
        wrong = differing(expected, results(again)) if status == 0 else [f"status {status}"]
        rows.append((task, second, signal.Signals(number).name, ", ".join(wrong) or "equal"))
        sys.stdout.write(f"{task:10} {second:6.1f} s  {rows[-1][2]:8} {rows[-1][3]}\n")
        sys.stdout.flush()
    return rows


def main() -> int:
    """Run, print a line a kill and a table, and return 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("kills"))
    args = parser.parse_args()
    torch.set_num_threads(1)  # whoever forks holds no threads
    warnings.simplefilter("ignore")
    folder = args.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    start = folder / "start"
    start.mkdir(parents=True)
    prepare(start)
    rows = []
    for place, task in enumerate(args.tasks):
        share = args.kills // len(args.tasks) + (place < args.kills % len(args.tasks))
        own = start
        if task in _NEEDS:
            own = folder / f"after_{_NEEDS[task]}"
            shutil.copytree(start, own, symlinks=True)
            if run(_NEEDS[task], own):
                raise RuntimeError(f"{_NEEDS[task]}: must end well before {task}; see {own / 'log.txt'}")
        rows += try_task(task, own, folder / task, share, args.seed)
    sys.stdout.write("\n| task | kills | equal |\n|---|---|---|\n")
    for task in args.tasks:
        own_rows = [row for row in rows if row[0] == task]
        sys.stdout.write(f"| {task} | {len(own_rows)} | {sum(row[3] == 'equal' for row in own_rows)} |\n")
    return int(any(row[3] != "equal" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
