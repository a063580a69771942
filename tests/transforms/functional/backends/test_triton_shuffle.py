"""The Triton source map against a loop that writes one window after another.

Without a GPU the kernels run in Triton's interpreter and are compiled for one that is not there. Both are settled
when Triton is imported, so each has a process of its own.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from medgenesis.transforms.functional.random_bits import Stream, random_bits, uniform_below

pytest.importorskip("triton", reason="Triton is not installed: local shuffling on a GPU is done by torch there")

SEEDS = [0, 77, -5, 2**40 + 3]
CASES = {  # seeds, shape, windows, max_sides, and how many windows or voxels a program takes (None: as shipped)
    "several programs a cube": (SEEDS[1:3], (7, 6, 3), 40, (3, 4, 2), None),
    "3D": (SEEDS[2:], (20, 17, 16), 80, (4, 3, 3), 8192),
    "2D": (SEEDS[:2], (33, 21), 60, (6, 4), 1024),
    "one window, the whole cube": (SEEDS, (4, 3, 2), 1, (4, 3, 2), 32),
    "sides of one voxel": (SEEDS[1:3], (1, 19, 6), 30, (1, 5, 2), 128),
    "2D sides of one voxel": (SEEDS[2:], (13, 1), 9, (6, 1), 16),
    "one voxel": (SEEDS[:1], (1, 1, 1), 3, (1, 1, 1), 16),
    "windows of one voxel": (SEEDS[:1], (9, 8), 50, (1, 1), 128),
}

INTERPRET = """
import torch
from medgenesis.transforms.functional.backends.triton import shuffle as triton_shuffle
shipped, results = triton_shuffle._LANES, {}
for name, (seeds, shape, windows, max_sides, lanes) in %r.items():
    triton_shuffle._LANES = lanes or shipped
    results[name] = triton_shuffle.shuffle_sources(torch.tensor(seeds), shape, windows, max_sides)
torch.save(results, %r)
"""

COMPILE = """
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from medgenesis.transforms.functional.backends.triton import shuffle as triton_shuffle

class Driver:  # what Triton asks before it compiles
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0
    def get_current_target(self): return GPUTarget("cuda", 90, 32)

compiled = []
class Kernel:  # compiled for each call, and not launched
    def __init__(self, kernel): self.kernel = kernel
    def __getitem__(self, grid):
        return lambda *args, **settings: compiled.append(self.kernel.warmup(*args, grid=grid, **settings))

driver.set_active(Driver())
triton_shuffle._claim, triton_shuffle._trace = Kernel(triton_shuffle._claim), Kernel(triton_shuffle._trace)
for shape, windows, max_sides in [((64, 64, 32), 10_000, (6, 6, 3)), ((1, 16), 1, (1, 16))]:
    triton_shuffle.shuffle_sources(torch.arange(5)[1:3], shape, windows, max_sides)
print(*(kernel.metadata.name for kernel in compiled), len(set(map(id, compiled))))
"""


def write_in_turn(seed, shape, windows, max_sides):
    """The definition: hash a window, permute its voxels of the original by inside-out Fisher-Yates, write them."""
    key, cube, rank = np.array([seed]), np.arange(np.prod(shape)).reshape(shape), len(shape)
    out = cube.copy()
    for w in range(windows):
        counters = w * rank + np.arange(rank)
        sides = 1 + uniform_below(random_bits(counters, key, Stream.WINDOW_SIDE), np.array(max_sides))
        starts = uniform_below(random_bits(counters, key, Stream.WINDOW_START), np.array(shape) - sides + 1)
        steps = np.arange(sides.prod())
        bits = random_bits(w * int(np.prod(max_sides)) + steps, key, Stream.WINDOW_PERMUTATION)
        order = []
        for k, j in enumerate(uniform_below(bits, steps + 1).tolist()):
            order.append(k)
            order[k] = order[j]
            order[j] = k
        box = tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))
        out[box] = cube[box].reshape(-1)[order].reshape(sides)
    return out.reshape(-1)


def run(script, **environment):
    settings = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"} | environment
    done = subprocess.run([sys.executable, "-c", script], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("interpreted") / "sources.pt")
    run(INTERPRET % (CASES, path), TRITON_INTERPRET="1")
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("name", CASES)
def test_sources_equal_windows_written_in_turn(interpreted, name):
    seeds, *drawn, _ = CASES[name]
    expected = np.stack([write_in_turn(seed, *drawn) for seed in seeds])
    assert interpreted[name].dtype == torch.int64  # what torch.gather takes
    np.testing.assert_array_equal(interpreted[name], expected)


def test_the_kernels_compile_for_a_gpu_that_is_not_here_and_once_for_all_shapes(tmp_path):
    assert run(COMPILE, TRITON_CACHE_DIR=str(tmp_path)).split() == ["_claim", "_trace", "_claim", "_trace", "2"]


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_a_gpu_gives_the_same_sources(name):
    from medgenesis.transforms.functional.backends.triton.shuffle import shuffle_sources

    seeds, *drawn, _ = CASES[name]
    expected = np.stack([write_in_turn(seed, *drawn) for seed in seeds])
    np.testing.assert_array_equal(shuffle_sources(torch.tensor(seeds, device="cuda"), *drawn).cpu(), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("shape, max_sides", [((64, 64, 32), (6, 6, 3)), ((70, 33, 40), (11, 12, 13))])
def test_a_gpu_gives_the_same_sources_for_many_windows(shape, max_sides):
    from medgenesis.transforms.functional.backends.triton.shuffle import shuffle_sources

    got = shuffle_sources(torch.tensor(SEEDS, device="cuda")[::2], shape, 3000, max_sides)
    expected = np.stack([write_in_turn(seed, shape, 3000, max_sides) for seed in SEEDS[::2]])
    np.testing.assert_array_equal(got.cpu(), expected)
