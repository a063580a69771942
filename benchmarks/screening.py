"""Time from the start to the first epoch: volumes checked and cached in one pass, against checking and then caching.

    python benchmarks/screening.py [--volumes 20] [--shape 256 256 128] [--folder DIR]
    python benchmarks/screening.py --growth 30 60 120 --shape 96 96 96

Writes compressed NIfTI volumes, as most are stored, then opens them as fine-tuning does (memory) and as pre-training
does (disk, memory-mapped; or compressed). "Before" reads, checks and forgets each volume, then MONAI's `CacheDataset`
reads it again; for the disk, the one pass of one process that filled the cache. Each line runs in a process of its own,
on files that the operating system has read before. The first line unpacks the files, by the standard library, and does
nothing with them: what no start can do without (but for ISA-L, which unpacks in less). The second also writes the
voxels, as a cache on disk holds them. A second start finds the results of the check and the cache. `--growth` instead
asks whether time grows with the number of volumes and memory does not.
"""

import argparse
import gzip
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.data import CacheDataset

sys.path.insert(0, str(Path(__file__).resolve().parent))
from own_process import in_own_process
from transforms_memory import peak_bytes

from medgenesis.data import PatchDataset, RandAcceptedCropd, ScreenedDataset, preprocessing, screen_volumes

SCANS = 888  # of LUNA16


def write_volumes(folder: Path, count: int, shape: tuple[int, ...]) -> None:
    """Noise in Hounsfield units around tissue in a body of air: compresses about as well as CT."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    body = (np.indices(shape, sparse=True)[0] > shape[0] // 4).astype(np.float32) * np.ones(shape, np.float32)
    for number in range(count):
        path = folder / f"{number:03d}.nii.gz"
        if not path.exists():
            values = (-1000 + 950 * body + rng.normal(0, 25, shape)).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(values, np.diag([0.7, 0.7, 1.25, 1.0])), path)


def records(folder: Path) -> list[dict]:
    return [{"image": str(path)} for path in sorted((folder / "volumes").glob("*.nii.gz"))]


def unpack(names: list[str], cache: Path | None) -> None:
    for name in names:
        content = gzip.open(name).read()
        if cache is not None:
            with (cache / Path(name).name).open("wb") as file:
                file.write(np.frombuffer(content[352:], np.int16).astype(np.float32))


def unpacked(folder: Path, workers: int, cache: str | None = None) -> None:
    """What no program can do without: each file unpacked, and nothing done with it but writing its float32 voxels."""
    names = [record["image"] for record in records(folder)]
    if cache is not None:
        (folder / cache).mkdir(exist_ok=True)
    tasks = [(names[first::workers], cache and folder / cache) for first in range(workers)]
    with multiprocessing.Pool(workers) as pool:
        pool.starmap(unpack, tasks)


def two_passes(folder: Path) -> None:
    """Fine-tuning before: each volume is prepared, checked and forgotten; then prepared again and kept."""
    given, prepare = records(folder), preprocessing()
    for record in given:
        prepare(dict(record))
    CacheDataset(given, prepare, progress=False)


def memory(folder: Path, workers: int) -> None:
    ScreenedDataset(records(folder), preprocessing(), num_workers=workers)


def disk(folder: Path, workers: int, name: str, cache: str = "disk") -> None:
    crop = RandAcceptedCropd("image", (64, 64, 32), "any")
    PatchDataset(records(folder), preprocessing(), crop, cache=cache, cache_dir=folder / name, num_workers=workers)


def check(folder: Path, workers: int) -> None:
    screen_volumes(records(folder), preprocessing(), num_workers=workers)


UNPACKED = "unpacked alone, 2 processes"
DISK = "disk, 1 process (before: the same)"
TASKS = {
    UNPACKED: lambda folder: unpacked(folder, 2),
    "the same and written as float32": lambda folder: unpacked(folder, 2, "plain"),
    "memory, before: 2 passes, 1 process": two_passes,
    "memory, 1 process": lambda folder: memory(folder, 0),
    "memory, 2 processes": lambda folder: memory(folder, 2),
    DISK: lambda folder: disk(folder, 0, "one"),
    "disk, 2 processes": lambda folder: disk(folder, 2, "two"),
    "disk, second start": lambda folder: disk(folder, 0, "two"),
    "compressed, 1 process": lambda folder: disk(folder, 0, "three", "compressed"),
    "compressed, 2 processes": lambda folder: disk(folder, 2, "four", "compressed"),
    "compressed, second start": lambda folder: disk(folder, 0, "four", "compressed"),
    "none kept, 1 process": lambda folder: check(folder, 0),
    "none kept, 2 processes": lambda folder: check(folder, 2),
}


def measure(task: str, folder: Path) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of processor time and MiB that a task takes.

    The memory is the peak of this process alone, NaN where the system does not tell.
    """
    torch.set_num_threads(1)
    start, used = time.perf_counter(), processor()
    held = peak_bytes(lambda: TASKS[task](folder), torch.device("cpu"))
    return time.perf_counter() - start, processor() - used, held / 2**20


def processor() -> float:
    """Processor time of this process and of those that it has waited for, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def write_and_read(folder: Path, count: int, shape: tuple[int, ...]) -> None:
    """Write what is missing, and let the operating system read it all."""
    write_volumes(folder / "volumes", count, shape)
    for path in (folder / "volumes").iterdir():
        path.read_bytes()


def grow(folder: Path, counts: list[int], shape: tuple[int, ...]) -> None:
    """Print processor time and memory by the number of volumes, from an empty cache on disk."""
    print(f"volumes of {shape}, int16, compressed; cache on disk, 1 process; load {os.getloadavg()[0]:.1f}")
    print("| volumes | processor s | ms a volume | of unpacking | peak beyond imports, MiB |")
    print("|---|---|---|---|---|")
    for count in counts:
        part = folder / str(count)
        write_and_read(part, count, shape)
        shutil.rmtree(part / "one", ignore_errors=True)
        _, least, _ = in_own_process(measure, UNPACKED, part)
        _, used, held = in_own_process(measure, DISK, part)
        print(f"| {count} | {used:.2f} | {1e3 * used / count:.1f} | {used / least:.2f} | {held:.0f} |")


def compare(folder: Path, count: int, shape: tuple[int, ...]) -> None:
    """Print the table."""
    write_and_read(folder, count, shape)
    seconds = {task: in_own_process(measure, task, folder) for task in TASKS}
    voxels = count * float(np.prod(shape))
    print(f"{count} volumes of {shape}, int16, compressed; {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}")
    print("| start | s | of unpacking | processor s | of unpacking | processor s a volume |")
    print("|---|---|---|---|---|---|")
    least, least_used, _ = seconds[UNPACKED]
    for task, (taken, used, _) in seconds.items():
        shares = f"{taken / least:.2f} | {used:.1f} | {used / least_used:.2f}"
        print(f"| {task} | {taken:.1f} | {shares} | {used / count:.2f} |")
    scale = SCANS * 512 * 512 * 280 / voxels / 60
    print(f"{SCANS} scans of 512 x 512 x 280, if time goes with the voxels: minutes of processor time, all processes")
    print("together, so with a free core each and a disk that keeps up the time is this by their number:")
    print("; ".join(f"{task}: {used * scale:.0f}" for task, (_, used, _) in seconds.items() if "second" not in task))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volumes", type=int, default=20)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 128))
    parser.add_argument("--growth", type=int, nargs="+", metavar="COUNT", help="print time and memory by these numbers")
    parser.add_argument("--folder", type=Path, help="receives volumes and caches (default: a temporary folder)")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that measure
    with tempfile.TemporaryDirectory() as temporary:
        folder, shape = args.folder or Path(temporary), tuple(args.shape)
        if args.growth:
            grow(folder, args.growth, shape)
        else:
            compare(folder, args.volumes, shape)


if __name__ == "__main__":
    main()
