"""What can only be seen on a GPU, in one table of ten minutes: equality with the processor, speed, precision, NCCL.

    python benchmarks/gpu_check.py [--seconds 10]        or: make gpu-check

Without a GPU the same lines but `torch.compile`'s run on the processor in reduced size, to show that the program ends;
what they measure there says nothing of a GPU, and targets are then "not measured".
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed
from screening import records, write_volumes
from torch import Tensor

from medgenesis.data import PatchDataset, RandAcceptedCropd, preprocessing
from medgenesis.methods import ModelsGenesis
from medgenesis.networks import UNet3D
from medgenesis.report import markdown_table
from medgenesis.transforms import BatchedGenesis, RandGenesisd

ROOT = Path(__file__).resolve().parents[1]
ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
CUBE, BATCH, WIDTH = ((64, 64, 32), 64, 32) if ON_GPU else ((32, 32, 16), 4, 4)
GPU_TESTS = ("tests/transforms", "tests/test_transform_contract.py")
CUBES_A_SECOND, AGREE, FASTER, UTILISED = 20_000, 1e-5, 1.0, 0.9  # targets


class Line(NamedTuple):
    """A line of the table; `met` is None where the figure has no target, or none without a GPU."""

    what: str
    found: str
    target: str = ""
    met: bool | None = None


def seconds_of(call: Callable[[], object], seconds: float) -> float:
    """Mean seconds of a call, after two to warm up, over about so many seconds."""
    for _ in range(2):
        call()
    _wait()
    count, began = 0, time.perf_counter()
    while count < 3 or time.perf_counter() - began < seconds:
        call()
        count += 1
        if count % 10 == 0:
            _wait()  # else the queue of a GPU grows for longer than is measured
    _wait()
    return (time.perf_counter() - began) / count


def _wait() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


def tests_of_the_gpu(seconds: float) -> Iterator[Line]:
    """The tests marked `gpu`: Triton's kernels and all batched transforms against the processor."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *GPU_TESTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]])[-1]
    yield Line("tests marked gpu", last.strip("= "), "none fails", done.returncode == 0 if ON_GPU else None)


def composite(seconds: float) -> Iterator[Line]:
    """The batched composite of Models Genesis: the processor's result, and how many cubes a second."""
    transform, cubes = BatchedGenesis("models").set_random_state(0), torch.rand(BATCH, 1, *CUBE)
    expected = transform(cubes)
    found = transform(cubes.to(DEVICE), randomize=False)
    apart = max(float((one.cpu() - other).abs().max()) for one, other in zip(found, expected, strict=True))
    yield Line("composite: largest difference to the processor", f"{apart:.1e}", f"<= {AGREE:g}", _met(apart <= AGREE))
    there = cubes.to(DEVICE)
    speed = BATCH / seconds_of(lambda: transform(there), seconds)
    yield Line("composite, cubes/s", f"{speed:.0f}", f">= {CUBES_A_SECOND}", _met(speed >= CUBES_A_SECOND))


def steps(seconds: float) -> Iterator[Line]:
    """A training step in single precision, channels last, mixed precision, compiled; each against the first."""
    plain = seconds_of(_step(), seconds)
    yield Line("step, float32, ms", f"{1e3 * plain:.2f}")
    for name, settings in {
        "channels last": {"layout": torch.channels_last_3d},
        "channels last, mixed precision": {"layout": torch.channels_last_3d, "amp": True},
        "channels last, mixed precision, torch.compile": {
            "layout": torch.channels_last_3d,
            "amp": True,
            "compiled": True,
        },
    }.items():
        if settings.get("compiled") and not ON_GPU:
            yield Line(f"step, {name}", "not tried: the compiler takes minutes on a processor")
            continue
        try:
            faster = plain / seconds_of(_step(**settings), seconds)
        except Exception as error:  # a compiler that is not there is a finding, and the rest is still to be seen
            yield Line(f"step, {name}", f"failed: {type(error).__name__}", "runs", _met(False))
            continue
        yield Line(f"step, {name}: times as fast", f"{faster:.2f}", f">= {FASTER:g}", _met(faster >= FASTER))
    if ON_GPU:
        yield Line("step: peak of the tensors' memory, MiB", f"{torch.cuda.max_memory_allocated() / 2**20:.0f}")


def _step(
    layout: torch.memory_format = torch.contiguous_format, amp: bool = False, compiled: bool = False
) -> Callable[[], None]:
    torch.manual_seed(0)
    method = ModelsGenesis(UNet3D(width=WIDTH).to(DEVICE, memory_format=layout))
    run = torch.compile(method) if compiled else method
    optimizer, scaler = torch.optim.Adam(method.parameters()), torch.amp.GradScaler(DEVICE.type, enabled=amp and ON_GPU)
    images = torch.rand(BATCH // 4 or 1, 1, *CUBE, device=DEVICE).contiguous(memory_format=layout)
    batch = {"image": images, "target": images}

    def step() -> None:
        with torch.autocast(DEVICE.type, enabled=amp and ON_GPU):
            loss = run(batch)["loss"]
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    return step


def loader(seconds: float) -> Iterator[Line]:
    """What share of the time the device works, when cubes come from the loader as in pre-training."""
    with tempfile.TemporaryDirectory() as folder:
        write_volumes(Path(folder) / "volumes", 4, (96, 96, 80))
        data = PatchDataset(
            records(Path(folder)),
            preprocessing(),
            RandAcceptedCropd("image", CUBE, "any", pad=True),
            RandGenesisd(),
            patches_per_image=16 * BATCH,
            cache_dir=Path(folder) / "cache",
        )
        batches = iter(data.loader(BATCH // 4 or 1, num_workers=4, pin_memory=ON_GPU))
        step = _step(torch.channels_last_3d, amp=True)
        bare = seconds_of(step, seconds)

        def whole() -> None:
            next(batches)["image"].to(DEVICE, non_blocking=True)
            step()

        share = bare / seconds_of(whole, min(seconds, 32 * bare))
        yield Line(
            "loader, 4 processes: share of the bare step", f"{share:.2f}", f">= {UTILISED:g}", _met(share >= UTILISED)
        )


def copies(seconds: float) -> Iterator[Line]:
    """Pinned memory against pageable, to the device."""
    batch = torch.rand(BATCH, 1, *CUBE)
    if not ON_GPU:
        yield Line("pinned memory against pageable", "no GPU")
        return
    pageable, pinned = (seconds_of(lambda one=one: one.to(DEVICE), seconds / 4) for one in (batch, batch.pin_memory()))
    yield Line("pinned memory: times as fast as pageable", f"{pageable / pinned:.2f}", "> 1", pinned < pageable)


def collective(seconds: float) -> Iterator[Line]:
    """The sum over processes: NCCL on each GPU there is; gloo with two processes without one."""
    count, backend = (torch.cuda.device_count(), "nccl") if ON_GPU else (2, "gloo")
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_sum_over, (count, backend, f"{folder}/store"), nprocs=count)
        sums = [float(torch.load(f"{folder}/store.{rank}", weights_only=True)) for rank in range(count)]
    right = sums == [count * (count + 1) / 2] * count
    yield Line(
        f"{backend}, {count} process{'es' * (count > 1)}: sum over all", "right" if right else f"{sums}", "right", right
    )


def _sum_over(rank: int, count: int, backend: str, store: str) -> None:
    torch.distributed.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=count)
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    value: Tensor = torch.tensor(rank + 1.0, device=device)
    torch.distributed.all_reduce(value)
    torch.save(value.cpu(), f"{store}.{rank}")
    torch.distributed.destroy_process_group()


def _met(reached: bool) -> bool | None:
    return reached if ON_GPU else None


CHECKS = (tests_of_the_gpu, composite, steps, loader, copies, collective)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each figure, about")
    args = parser.parse_args()
    where = torch.cuda.get_device_name() if ON_GPU else "no GPU: the processor, in reduced size"
    print(f"{where}; torch {torch.__version__}; cubes {CUBE}, {BATCH} at a time, width {WIDTH}\n", flush=True)
    began, lines = time.perf_counter(), []
    for line in (line for check in CHECKS for line in check(args.seconds if ON_GPU else min(args.seconds, 1.0))):
        lines.append(line)
        print(f"{time.perf_counter() - began:5.0f} s  {line.what}: {line.found}", file=sys.stderr, flush=True)
    verdicts = {True: "met", False: "MISSED", None: ""}
    rows = [[*line[:3], "not measured" if line.target and line.met is None else verdicts[line.met]] for line in lines]
    print(markdown_table([["what", "found", "target", ""], *rows]))
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
