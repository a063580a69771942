"""Time and memory of one training step of UNet3D, by width and cube size, as a markdown table.

    python benchmarks/steps.py [--batch 6] [--steps 3] [--widths 8 16 32]

Each line is measured in a process of its own, because the peak of the resident memory never falls again within one.
"""

import argparse
import resource
import time

import torch
import torch.nn.functional as F
from own_process import in_own_process

from medgenesis.networks import UNet3D

CUBES = ((32, 32, 16), (64, 64, 32))


def measure(width: int, cube: tuple[int, ...], batch: int, steps: int, channels_last: bool) -> dict[str, float]:
    """Median seconds of a step (forward, backward, SGD) after one to warm up, and the peak memory in MiB."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    network = UNet3D(width=width).to(device, memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    x = torch.rand(batch, 1, *cube, device=device).contiguous(memory_format=layout)
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        F.mse_loss(network(x), x).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() / 1024 if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": sorted(seconds[1:])[steps // 2], "mib": peak / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32])
    args = parser.parse_args()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"Batch {args.batch}, {where}, torch {torch.__version__}; peak memory of the process (GPU: of its tensors).\n"
    )
    print("| width | cube | s a step | s, channels last | peak MiB | peak MiB, channels last |")
    print("|---|---|---|---|---|---|")
    for cube in CUBES:
        for width in args.widths:
            settings = width, cube, args.batch, args.steps
            plain, last = (in_own_process(measure, *settings, flag) for flag in (False, True))
            sides = " x ".join(map(str, cube))
            times = f"{plain['seconds']:.2f} | {last['seconds']:.2f}"
            print(f"| {width} | {sides} | {times} | {plain['mib']:.0f} | {last['mib']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
