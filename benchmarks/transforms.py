"""Time each transform on one thread beside its slow twin and a copy of the cube: python benchmarks/transforms.py.

All are timed in turn, round after round, because a machine's speed drifts; the table gives the median of the rounds.
Compare the ratios of one run, not milliseconds of two.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from medgenesis.transforms import RandGenesis, RandInPaint, RandLocalShuffle, RandNonlinearIntensity, RandOutPaint


def slow_shuffle(rng: np.random.Generator, cube: np.ndarray, windows: int = 10_000) -> np.ndarray:
    """One window after another."""
    out = cube.copy()
    for _ in range(windows):
        side = [rng.integers(1, max(1, s // 10) + 1) for s in cube.shape]
        start = [rng.integers(0, s - a + 1) for s, a in zip(cube.shape, side, strict=True)]
        box = tuple(slice(a, a + s) for a, s in zip(start, side, strict=True))
        out[box] = rng.permutation(cube[box].reshape(-1)).reshape(side)
    return out


def slow_curve(rng: np.random.Generator, cube: np.ndarray) -> np.ndarray:
    """A curve of 100 000 points, sorted, and a search for each voxel."""
    (x1, y1), (x2, y2) = rng.random((2, 2))
    t = np.linspace(0, 1, 100_000)
    x, y = (3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t**2 * b + t**3 for a, b in ((x1, x2), (y1, y2)))
    return np.interp(cube, np.sort(x), np.sort(y)[::-1] if rng.random() < 0.5 else np.sort(y))


def slow_blocks(rng: np.random.Generator, cube: np.ndarray, keep: bool) -> np.ndarray:
    """Paint inside blocks, or (keep) everywhere else."""
    out, left = (rng.random(cube.shape) if keep else cube.copy()), 5
    while (keep and left == 5) or (left > 0 and rng.random() < 0.95):
        low, high = (3 / 7, 4 / 7) if keep else (1 / 6, 1 / 3)
        drawn = [rng.integers(int(s * low), int(s * high) + 1) for s in cube.shape]
        side = [s - d if keep else d for s, d in zip(cube.shape, drawn, strict=True)]
        start = [rng.integers(3, s - a - 2) for s, a in zip(cube.shape, side, strict=True)]
        box = tuple(slice(a, a + s) for a, s in zip(start, side, strict=True))
        out[box] = cube[box] if keep else rng.random(side)
        left -= 1
    return out


def slow_genesis(rng: np.random.Generator, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The composite of the above."""
    target, left = cube, 3
    while left > 0 and rng.random() < 0.4:
        target, left = np.flip(target, rng.integers(cube.ndim)), left - 1
    out = slow_shuffle(rng, target) if rng.random() < 0.5 else target.copy()
    out = slow_curve(rng, out) if rng.random() < 0.9 else out
    return (slow_blocks(rng, out, keep=rng.random() < 0.8) if rng.random() < 0.9 else out), target


def medians(calls: dict[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, float]:
    """Median over rounds of the mean time of a call, ms; each round gives every call about the same time."""
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            count, start = 0, time.perf_counter()
            while count < 3 or time.perf_counter() - start < seconds:
                call()
                count += 1
            times[name].append((time.perf_counter() - start) / count * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs="+", default=[64, 64, 32], help="sides of the cube, voxels")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="time a call gets in each round")
    args = parser.parse_args()

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    cube = rng.random(args.size, dtype=np.float32)
    volume = torch.from_numpy(cube)[None]
    pairs = {
        "RandGenesis": (RandGenesis(), lambda: slow_genesis(rng, cube)),
        "RandLocalShuffle": (RandLocalShuffle(), lambda: slow_shuffle(rng, cube)),
        "RandNonlinearIntensity": (RandNonlinearIntensity(), lambda: slow_curve(rng, cube)),
        "RandInPaint": (RandInPaint(), lambda: slow_blocks(rng, cube, keep=False)),
        "RandOutPaint": (RandOutPaint(), lambda: slow_blocks(rng, cube, keep=True)),
    }
    calls = {"np.copy": cube.copy}
    for name, (transform, twin) in pairs.items():
        calls[name], calls[f"{name} slow"] = (lambda transform=transform: transform(volume)), twin
    ms = medians(calls, args.rounds, args.seconds)

    print(f"1 x {' x '.join(map(str, args.size))}, one thread; np.copy {ms['np.copy']:.4f} ms")
    print(f"{'':24s}{'ms':>9s}{'slow ms':>9s}{'ratio':>8s}{'np.copies':>11s}")
    for name in pairs:
        slow = ms[f"{name} slow"]
        print(f"{name:24s}{ms[name]:9.2f}{slow:9.2f}{slow / ms[name]:8.1f}{ms[name] / ms['np.copy']:11.0f}")


if __name__ == "__main__":
    main()
