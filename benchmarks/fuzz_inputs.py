"""Damaged and hostile inputs of every kind that is read: silent acceptances, crashes, hangs, code run, files not named.

    python benchmarks/fuzz_inputs.py [--count 4000] [--seed 0] [--only NUMBER --keep FOLDER]

Input NUMBER of a seed is always the same. A small valid file of each format is read, damaged, and read again, in a
forked process with 30 s for each. A difference is silent where something in the file tells of it (a checksum, a length,
a geometry that cannot be), or where the input must be refused whatever it holds. What only changes voxels or text
without a checksum is counted ("changed"), and is no fault. The exit code is 1 if there was any fault.
"""

import argparse
import collections
import multiprocessing
import os
import shutil
import sys
import tempfile
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from fuzzed_files import DAMAGES, KINDS, build, damage

from medgenesis.data import load_datalist, preprocessing
from medgenesis.errors import DOMAIN_ERRORS
from medgenesis.storage import read_checkpoint

SECONDS = 30
FAULTS = ("silent", "crash", "hang", "code run", "not named")
OUTCOMES = ("refused", "as it was", "changed", *FAULTS)


def read(path: Path, kind: str) -> list[np.ndarray]:
    """Voxels (or weights) and affine, by the way that every task takes."""
    if kind == "pt":
        return [np.asarray(value) for value in read_checkpoint(path).values()]
    if kind == "json":
        record = load_datalist(path)[0]
        return [np.asarray(preprocessing(intensity=None)({"image": record["image"]})["image"])]
    item = preprocessing(intensity=None)({"image": str(path)})["image"]
    if not np.isfinite(item.affine.numpy()).all() or abs(np.linalg.det(item.affine.numpy())) < 1e-9:
        return [np.zeros(0)]  # a place that cannot be: like nothing that was written
    return [item.numpy(), item.affine.numpy()]


def outcome(seed: int, number: int, keep: Path | None = None) -> str:
    """What came of one input."""
    rng = np.random.default_rng([seed, number])
    kind, how = KINDS[number % len(KINDS)], DAMAGES[number % len(DAMAGES)]  # 20 and 9: all pairs in 180
    folder = Path(tempfile.mkdtemp(prefix="fuzz-")) / "in"
    folder.mkdir()
    os.chdir(folder)
    try:
        path, files = build(kind, folder, rng)
        before = read(path, kind)
        path, must = damage(how, kind, path, files, rng)
        try:
            after = read(path, kind)
        except Exception as error:
            named = isinstance(error, DOMAIN_ERRORS) and any(file.name in str(error) for file in (path, *files, folder))
            result = "refused" if named else f"not named: {type(error).__name__}: {str(error)[:200]}"
        else:
            same = len(before) == len(after) and all(map(np.array_equal, before, after))
            result = "as it was" if same else "silent" if must else "changed"
        return "code run" if any(folder.rglob("canary")) else result
    finally:
        os.chdir("/")
        if keep:
            shutil.copytree(folder, keep, dirs_exist_ok=True, ignore=lambda _, names: [n for n in names if "pipe" in n])
        shutil.rmtree(folder.parent)


def serve(numbers: Connection, seed: int) -> None:
    """Outcomes for the numbers that come, until none does; in a process of its own."""
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff and GDCM write there
    torch.set_num_threads(1)
    os.environ["MEDGENESIS_MAX_GIB"] = "0.1"
    while (number := numbers.recv()) is not None:
        numbers.send(outcome(seed, number))


def outcomes(count: int, seed: int):
    """(kind, number, outcome) of each input; a process that dies or is late is replaced."""
    fork = multiprocessing.get_context("fork")
    ours = child = None
    for number in range(count):
        if child is None:
            ours, theirs = fork.Pipe()
            child = fork.Process(target=serve, args=(theirs, seed), daemon=True)
            child.start()
            theirs.close()
        ours.send(number)
        try:
            result = ours.recv() if ours.poll(SECONDS) else "hang"
        except EOFError:
            result = "crash"
        if result in ("hang", "crash"):
            child.kill()
            child.join()
            child = None
        yield KINDS[number % len(KINDS)], number, result
    if child is not None:
        ours.send(None)
        child.join()


def main(arguments: list[str] | None = None) -> int:
    """The table; 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one input, in this process")
    parser.add_argument("--keep", type=Path, help="a folder for the files of that one")
    options = parser.parse_args(arguments)
    if options.only is not None:
        os.environ["MEDGENESIS_MAX_GIB"] = "0.1"
        sys.stdout.write(f"{outcome(options.seed, options.only, options.keep)}\n")
        return 0
    table = {kind: collections.Counter() for kind in KINDS}
    for kind, number, result in outcomes(options.count, options.seed):
        column = result.partition(":")[0]
        table[kind][column] += 1
        if column in FAULTS:
            how = DAMAGES[number % len(DAMAGES)]
            sys.stdout.write(f"input {number} ({kind}, {how}): {result}\n")
    table["all"] = sum(table.values(), collections.Counter())
    sys.stdout.write(f"{'':12}" + "".join(f"{column:>11}" for column in OUTCOMES) + "\n")
    for kind, counts in table.items():
        sys.stdout.write(f"{kind:12}" + "".join(f"{counts[column]:11d}" for column in OUTCOMES) + "\n")
    return int(any(table["all"][fault] for fault in FAULTS))


if __name__ == "__main__":
    sys.exit(main())
