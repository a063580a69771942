"""Time the transforms beside their reference implementations, MONAI's nearest and np.copy of the cube, on one thread.

    python benchmarks/transforms.py [--sizes 64x64x32 ...] [--seconds 40] [--fallback] [--device cuda] [--batch 64]

A machine's speed drifts, so all are timed in turn, round after round; the tables give medians of the rounds. Compare
ratios within one run, not milliseconds of two. --fallback switches the compiled kernels off, as where numba cannot be
imported. The batched forms run on --device (without: a GPU where there is one, else the processor, one thread too).
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import reference_implementations
import torch
from monai.transforms import Rand3DElastic, RandCoarseShuffle, RandHistogramShift
from own_process import in_new_interpreter
from scipy.ndimage import gaussian_filter
from transforms_memory import peak_bytes

from medgenesis import transforms
from medgenesis.transforms.functional import backend

Shape = tuple[int, int, int]
NAN = float("nan")


@dataclass(frozen=True)
class Form:
    """A transform: its name behind Rand or Batched, its settings, its reference implementation, and what the published
    program takes.

    The last in ms at 64 x 64 x 32 on a machine where np.copy takes PUBLISHED_COPY (design notes, peers.md 1.1).
    """

    name: str
    settings: tuple[str, ...]
    twin: Callable
    published: float

    def make(self, variant: str, fallback: bool) -> Callable:
        made = getattr(transforms, variant + self.name)(*self.settings)
        return without_numba(made) if fallback else made


PUBLISHED_COPY = 0.012
FORMS = {
    "Genesis, models": Form("Genesis", ("models",), reference_implementations.slow_models, 37.9),
    "Genesis, semantic": Form("Genesis", ("semantic",), reference_implementations.slow_semantic, 27.4),
    "LocalShuffle": Form("LocalShuffle", (), reference_implementations.slow_shuffle, 40.4),
    "NonlinearIntensity": Form("NonlinearIntensity", (), reference_implementations.slow_nonlinear, 14.5),
    "InPlaneElastic": Form("InPlaneElastic", (), reference_implementations.slow_elastic, 22.1),
    "InPaint": Form("InPaint", (), reference_implementations.slow_inpaint, 0.054),
    "OutPaint": Form("OutPaint", (), reference_implementations.slow_outpaint, 0.58),
}
MODELS, SEMANTIC, SHUFFLE, NONLINEAR, ELASTIC = list(FORMS)[:5]
NO_NUMBA = ", no numba"
REFERENCE, LARGE = (64, 64, 32), (160, 160, 160)

CUBES = 8  # in rotation, as data come; np.copy has one cube, which stays in the cache: the harder floor
SHARE = 0.1  # seconds that a call gets in each round, at least
DRAWS = 4  # calls of a composite in each round, at least: what it does, and so takes, is drawn
ROUNDS = 3  # at least


def measure(calls: dict[str, Callable], seconds: float, sync: Callable = lambda: None) -> dict[str, list[float]]:
    """Mean ms of a call in each round, as many rounds as fit."""
    times, end = {name: [] for name in calls}, time.perf_counter() + seconds
    for call in calls.values():  # compiles what is not compiled yet
        call()
    while time.perf_counter() < end or len(times["copy"]) < ROUNDS:
        for name, call in calls.items():
            sync()
            count, least, start = 0, DRAWS if "Genesis" in name else 1, time.perf_counter()
            while count < least or time.perf_counter() < start + SHARE:
                call()
                count += 1
            sync()
            times[name].append((time.perf_counter() - start) / count * 1e3)
    return times


@dataclass(frozen=True)
class Table:
    """What one size took: ms in each round by "copy", a row ("LocalShuffle"), and "ROW twin" or "ROW MONAI"."""

    shape: Shape
    times: dict[str, list[float]]

    def ms(self, name: str) -> float:
        return statistics.median(self.times[name]) if name in self.times else NAN

    def ratio(self, row: str, other: str) -> float:
        """How many times as long as ours takes "twin", "MONAI" or, counted in copies of the cube, "published"."""
        whole = row.removesuffix(NO_NUMBA)
        if other == "published":
            theirs = FORMS[whole].published / PUBLISHED_COPY * self.ms("copy") if self.shape == REFERENCE else NAN
        else:
            theirs = self.ms(f"{whole} {other}")
        return theirs / self.ms(row)

    def show(self) -> None:
        copy = self.times["copy"]
        print(f"\n1 x {self.shape}, one thread, {len(copy)} rounds; ", end="")
        print(f"np.copy {self.ms('copy'):.4f} ms ({min(copy):.4f} to {max(copy):.4f})")
        print(f"{'':47s}{'slow twin':>17s}{'nearest of MONAI':>19s}{'published*':>12s}")
        print(f"{'':28s}{'ms':>9s}{'np.copies':>10s}{'ms':>9s}{'ratio':>8s}{'ms':>11s}{'ratio':>8s}{'ratio':>12s}")
        for row in (row for row in (*FORMS, MODELS + NO_NUMBA) if row in self.times):
            line = f"{row:28s}{self.ms(row):9.3f}{self.ms(row) / self.ms('copy'):10.0f}"
            for other, width in (("twin", 9), ("MONAI", 11)):
                line += f"{self.ms(f'{row.removesuffix(NO_NUMBA)} {other}'):{width}.2f}{self.ratio(row, other):8.1f}"
            print(f"{line}{self.ratio(row, 'published'):12.1f}".replace("nan", "  -"))


def smooth_cubes(shape: Shape, count: int) -> list[np.ndarray]:
    """Smooth random fields in [0, 1], float32: like images, unlike noise, they let a search start where it ended."""
    fields = [gaussian_filter(np.random.default_rng(n).random(shape, dtype=np.float32), 2) for n in range(count)]
    return [(field - field.min()) / np.ptp(field) for field in fields]


def without_numba(call: Callable) -> Callable:
    """The same, in torch's kernels."""

    def run(volume: torch.Tensor) -> object:
        usual, backend._compiled = backend._compiled, lambda: None
        try:
            return call(volume)
        finally:
            backend._compiled = usual

    return run


def nearest_in_monai(shape: Shape) -> dict[str, Callable]:
    """What MONAI has to a similar end; none has the same distribution."""
    tenth = [max(1, side // 10) for side in shape]
    return {
        SHUFFLE: RandCoarseShuffle(10_000, 1, max_spatial_size=tenth, prob=1),
        NONLINEAR: RandHistogramShift(num_control_points=10, prob=1),
        ELASTIC: Rand3DElastic(sigma_range=(8, 8), magnitude_range=(991, 991), prob=1),
    }


def one_cube_at_a_time(shape: Shape, seconds: float, fallback: bool) -> Table:
    """Time the array forms."""
    cubes, rng = smooth_cubes(shape, CUBES), np.random.RandomState(0)
    arrays = itertools.cycle(cubes)
    tensors = itertools.cycle([torch.from_numpy(cube)[None] for cube in cubes])
    calls = {"copy": cubes[0].copy}
    for row, form in FORMS.items():
        ours = form.make("Rand", fallback)
        calls[row] = lambda ours=ours: ours(next(tensors))
        calls[f"{row} twin"] = lambda twin=form.twin: twin(rng, next(arrays))
    for row, theirs in nearest_in_monai(shape).items():  # a copy, since RandCoarseShuffle writes into its input
        calls[f"{row} MONAI"] = lambda theirs=theirs: theirs(next(arrays)[None].copy())
    if shape == REFERENCE and not fallback:
        plain = FORMS[MODELS].make("Rand", fallback=True)
        calls[MODELS + NO_NUMBA] = lambda: plain(next(tensors))
    return Table(shape, measure(calls, seconds))


def batches(device: torch.device, batch: int, seconds: float, fallback: bool) -> tuple[float, float]:
    """Time the batched forms and print that; the first one's cubes a second, and the most memory of all / the batch."""
    few = torch.from_numpy(np.stack(smooth_cubes(REFERENCE, CUBES)))[:, None]
    volume = few.repeat(-(-batch // CUBES), 1, 1, 1, 1)[:batch].to(device)
    forms = {row: form.make("Batched", fallback) for row, form in FORMS.items()}
    calls = {row: lambda form=form: form(volume) for row, form in forms.items()} | {"copy": volume.clone}
    sync = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else lambda: None
    ms = {name: statistics.median(times) for name, times in measure(calls, seconds, sync).items()}
    size = volume.numel() * volume.element_size()
    memory = {row: max(peak_bytes(calls[row], device) for _ in range(DRAWS)) / size for row in forms}

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor, one thread"
    print(f"\n{batch} x 1 x {REFERENCE}, batched forms on {name}; ", end="")
    print(f"a copy of the batch {ms['copy']:.3f} ms, {2 * size / ms['copy'] / 1e6:.0f} GB/s read and written")
    print(f"{'':28s}{'ms':>9s}{'cubes/s':>10s}{'of copy bandwidth':>20s}{'peak memory / batch':>22s}")
    for row in forms:
        print(f"{row:28s}{ms[row]:9.3f}{batch / ms[row] * 1e3:10.0f}{ms['copy'] / ms[row]:20.4f}{memory[row]:22.1f}")
    return batch / ms[MODELS] * 1e3, max(memory.values())


def first_calls() -> None:
    """Print what the first call of every transform takes together, in new processes."""
    names = sorted({f"Rand{form.name}" for form in FORMS.values()})
    program = (
        "import time, torch; from medgenesis import transforms; cube = torch.rand(1, 64, 64, 32); "
        f"start = time.perf_counter(); [getattr(transforms, name)()(cube) for name in {names}]; "
        "print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as cache:
        new, kept = (in_new_interpreter(program, NUMBA_CACHE_DIR=cache) for _ in range(2))
    print(f"\nFirst calls of all transforms together: {new:.1f} s where numba compiles, {kept:.1f} s from its cache")


def show_targets(tables: dict[Shape, Table], speed: float, memory: float, fallback: bool) -> None:
    """Print each target of issue 3, what was reached, and whether that meets it; what was not measured is nan."""
    small, large = (tables.get(shape, Table(shape, {})) for shape in (REFERENCE, LARGE))
    targets = [
        ("composite: published / ours, by np.copy", 40, small.ratio(MODELS, "published")),
        ("shuffle: reference implementation / ours", 40, small.ratio(SHUFFLE, "twin")),
        ("shuffle: RandCoarseShuffle / ours", 220, small.ratio(SHUFFLE, "MONAI")),
        ("nonlinear: reference implementation / ours", 30, small.ratio(NONLINEAR, "twin")),
        ("elastic: reference implementation / ours", 8, small.ratio(ELASTIC, "twin")),
        ("shuffle at 160^3: reference implementation / ours", 8, large.ratio(SHUFFLE, "twin")),
    ]
    plain = small.ratio(MODELS if fallback else MODELS + NO_NUMBA, "published")
    targets = [] if fallback else targets
    targets.append(("composite without numba: published / ours, by np.copy", 10, plain))
    targets.append(("batched composite on a GPU, cubes/s", 20_000, speed))
    print(f"\n{'Targets of issue 3':58s}{'at least':>10s}{'reached':>10s}")
    for what, least, reached in targets:
        verdict = "not measured" if np.isnan(reached) else "met" if reached >= least else "missed"
        print(f"{what:58s}{least:10d}{reached:10.1f}  {verdict}")
    verdict = "not measured" if np.isnan(memory) else "met" if memory <= 6 else "missed"
    print(f"{'memory of the batched forms / batch, results counted':52s}{'at most 6':>16s}{memory:10.1f}  {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["64x64x32", "96x96x96", "160x160x160"], help="voxels")
    parser.add_argument("--seconds", type=float, default=40, help="for each table; at least 3 rounds are made")
    parser.add_argument("--fallback", action="store_true", help="without the compiled kernels")
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=64, help="cubes")
    args = parser.parse_args()

    torch.set_num_threads(1)
    compiled = backend._compiled() is not None and not args.fallback
    print(f"On the processor the kernels are {'compiled by numba' if compiled else 'those in torch: no numba'}")
    tables = {}
    for size in args.sizes:
        shape = tuple(int(side) for side in size.split("x"))
        tables[shape] = one_cube_at_a_time(shape, args.seconds, args.fallback)
        tables[shape].show()
    print("* (published ms / its np.copy) / (ms / np.copy): 37.9 / 0.012 and so on, from peers.md 1.1")
    speed, memory = batches(args.device, args.batch, args.seconds / 3, args.fallback)
    if not args.fallback:
        first_calls()
    show_targets(tables, speed if args.device.type == "cuda" else NAN, memory, args.fallback)


if __name__ == "__main__":
    main()
