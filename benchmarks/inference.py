"""Time and peak memory of label maps by sliding windows, as ratios to MONAI's plain SlidingWindowInferer and argmax.

    python benchmarks/inference.py                 # 128^3, 3 and 104 classes, a network of width 8
    python benchmarks/inference.py --side 256 --classes 3 --width 8

Each way runs in a process of its own, so that memory that one has freed is not there for the next. Times are of the
processor, all cores; memory is what a call takes beyond the volume and the network (Linux).
"""

import argparse
import hashlib
import sys
import time
from pathlib import Path

import torch
from monai.inferers import Inferer, SlidingWindowInferer
from torch import Tensor, nn

from medgenesis.inference import LabelMapInferer
from medgenesis.networks import UNet3D

sys.path.insert(0, str(Path(__file__).resolve().parent))
from own_process import in_own_process
from transforms_memory import peak_bytes

MIB = 2**20


class Plain(Inferer):
    """What a bundle does without the overlay: scores of the whole volume, then the class of each voxel."""

    def __init__(self, **windows) -> None:
        self.windows = SlidingWindowInferer(**windows)

    def __call__(self, inputs: Tensor, network, *args, **kwargs) -> Tensor:
        return self.windows(inputs, network).argmax(dim=1, keepdim=True).to(torch.uint8)


def measure(kind: str, side: int, classes: int, width: int, cube: tuple[int, ...]) -> tuple:
    """Seconds of the processor, peak bytes and a digest of the label map of one way."""
    torch.manual_seed(0)
    network: nn.Module = UNet3D(width=width, out_channels=classes, activation=None, norm="batch_always").eval()
    nn.init.normal_(network.head.conv.weight)  # or an untrained network says the same of all voxels
    volume = torch.rand(1, 1, side, side, side)
    windows = {"roi_size": cube, "sw_batch_size": 4, "overlap": 0.5, "mode": "gaussian"}
    inferer = {"plain": Plain, "slabs": LabelMapInferer}[kind](**windows)
    found = {}

    def call() -> None:
        with torch.no_grad():
            network(torch.rand(4, 1, *cube))  # what the library sets up at its first call
            began = time.process_time()
            labels = inferer(volume, network)
            found["seconds"] = time.process_time() - began
            found["digest"] = hashlib.sha256(labels.numpy()).hexdigest(), labels.unique().numel()

    peak = peak_bytes(call, torch.device("cpu"))
    return found["seconds"], peak, found["digest"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=128, help="voxels of the volume along each axis")
    parser.add_argument("--classes", type=int, nargs="+", default=[3, 104])
    parser.add_argument("--width", type=int, default=8, help="of the network")
    parser.add_argument("--cube-size", type=int, nargs=3, default=[64, 64, 32], help="voxels of a window")
    args = parser.parse_args()
    print(f"{args.side}^3 voxels, windows {args.cube_size}, width {args.width}, {torch.get_num_threads()} threads")
    print("| classes | plain: s, MiB | slabs: s, MiB | time | memory | same label map |\n|---|---|---|---|---|---|")
    for classes in args.classes:
        settings = args.side, classes, args.width, tuple(args.cube_size)
        ways = (in_own_process(measure, kind, *settings, start="fork") for kind in ("plain", "slabs"))
        (s0, b0, d0), (s1, b1, d1) = ways
        print(
            f"| {classes} | {s0:.1f}, {b0 / MIB:.0f} | {s1:.1f}, {b1 / MIB:.0f} | {s1 / s0:.2f} | {b1 / b0:.2f} | "
            f"{'yes' if d0 == d1 else 'NO'} ({d0[1]} classes) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
