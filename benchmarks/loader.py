"""Memory and speed of reading random cubes from a folder of volumes: our caches and MONAI's PersistentDataset.

    python benchmarks/loader.py [--volumes 24] [--side 192] [--seconds 5] [--folder DIR]

Writes a folder of volumes (side^3 voxels, float32), prepares each cache, then reads random 64 x 64 x 32 cubes in one
process a line, so that peaks are its own. The disk cache must do with half the folder: RLIMIT_DATA of its process is
what the imports took plus half of the cache's size; the memory cache is shown to fail under the same limit.
RssAnon is memory of the process; RssFile are pages of files, which the operating system takes back when it needs them.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from monai.data import PersistentDataset
from own_process import in_own_process

from medgenesis.data import PatchDataset, RandAcceptedCropd, preprocessing
from medgenesis.data.sampler import SampleKey

CUBE = (64, 64, 32)
MIB = 2**20


def write_volumes(folder: Path, count: int, side: int) -> None:
    """Volumes in [0, 1] that compress about as CT does: whole Hounsfield units of 2000, with noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        units = rng.normal(400 + 1000 * number / count, 25, (side,) * 3).round().clip(0, 2000)
        np.save(folder / f"{number:03d}.npy", (units / 2000).astype(np.float32))


def status(name: str) -> float:
    """One line of /proc/self/status in MiB."""
    with Path("/proc/self/status").open() as file:
        return int(next(line for line in file if line.startswith(name)).split()[1]) / 1024


class Plain:
    """MONAI's PersistentDataset with the same steps: it reads the whole cached volume for every cube."""

    def __init__(self, data: list[dict], prepare, crop: RandAcceptedCropd, cache_dir: Path) -> None:
        self.volumes = PersistentDataset(data, prepare, cache_dir, track_meta=True, weights_only=False)
        self.crop = crop

    def __getitem__(self, key: SampleKey) -> dict:
        return self.crop(self.volumes[key.index])


def open_folder(kind: str, folder: Path):
    """The data set of that kind, one cube a volume."""
    data = [{"image": str(path)} for path in sorted((folder / "volumes").glob("*.npy"))]
    prepare, crop = preprocessing(intensity="unit"), RandAcceptedCropd("image", CUBE, criterion="any")
    cache_dir = folder / f"cache_{kind}"
    if kind == "persistent":
        return Plain(data, prepare, crop, cache_dir), len(data)
    return PatchDataset(data, prepare, crop, patches_per_image=1, cache=kind, cache_dir=cache_dir), len(data)


def measure(kind: str, folder: Path, seconds: float, limit_mib: float = 0) -> dict:
    """Cubes a second and the peaks of memory (MiB) while reading random cubes."""
    torch.set_num_threads(1)
    base = status("RssAnon")
    if limit_mib:
        resource.setrlimit(resource.RLIMIT_DATA, (int((status("VmData") + limit_mib) * MIB),) * 2)
    try:
        dataset, count = open_folder(kind, folder)
        order = np.random.default_rng(0)
        for index in range(count):  # to fill a cache, or to warm up
            dataset[SampleKey(0, index)]
    except (MemoryError, RuntimeError, OSError) as error:
        return {"error": str(error).splitlines()[0][:60]}
    cubes, anonymous, in_files = 0, 0.0, 0.0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        sample = dataset[SampleKey(cubes, int(order.integers(count)))]
        if sample["image"].shape != (1, *CUBE):
            raise RuntimeError(f"a cube of shape {tuple(sample['image'].shape)}")
        cubes += 1
        if cubes % 20 == 0:
            anonymous, in_files = max(anonymous, status("RssAnon")), max(in_files, status("RssFile"))
    speed = cubes / (time.perf_counter() - start)
    return {"cubes_per_second": speed, "anonymous": anonymous, "base": base, "files": in_files}


def compare(folder: Path, volumes: int, side: int, seconds: float) -> None:
    """Print the table."""
    write_volumes(folder / "volumes", volumes, side)
    in_own_process(measure, "disk", folder, 0.1)  # fills
    in_own_process(measure, "compressed", folder, 0.1)
    size, packed = (
        sum(path.stat().st_size for path in (folder / f"cache_{kind}").glob("*.pt")) / MIB
        for kind in ("disk", "compressed")
    )
    in_own_process(measure, "persistent", folder, 0.1)
    print(
        f"{volumes} volumes of {side}^3 float32: cache of {size:.0f} MiB, cubes of {CUBE}, {os.cpu_count()} cores, MiB"
    )
    print(f"cache of compressed volumes: {packed:.0f} MiB, {packed / size:.2f} of it")
    kinds = ("disk", "compressed", "memory")
    lines = [*((kind, size / 2) for kind in kinds), *((kind, 0) for kind in kinds), ("persistent", 0)]
    results = [(kind, limit, in_own_process(measure, kind, folder, seconds, limit)) for kind, limit in lines]
    reference = next(found for kind, limit, found in results if (kind, limit) == ("disk", 0))["cubes_per_second"]
    print("| data set | limit over imports | cubes/s | of disk | RssAnon: imports, peak | peak RssFile |")
    print("|---|---|---|---|---|---|")
    for kind, limit, found in results:
        given = f"{limit:.0f}" if limit else "none"
        if "error" in found:
            print(f"| {kind} | {given} | fails: {found['error']} | | | |")
            continue
        speed, memory = found["cubes_per_second"], f"{found['base']:.0f}, {found['anonymous']:.0f}"
        print(f"| {kind} | {given} | {speed:.0f} | {speed / reference:.2f} | {memory} | {found['files']:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volumes", type=int, default=24)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--folder", type=Path, help="receives volumes and caches (default: a temporary folder)")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that measure
    if args.folder:
        compare(args.folder, args.volumes, args.side, args.seconds)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), args.volumes, args.side, args.seconds)


if __name__ == "__main__":
    main()
