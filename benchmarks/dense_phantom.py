"""Does a short pre-training on phantoms' X-rays teach anatomy? Adam's landmarks and CAiD's context, as markdown tables.

    python benchmarks/dense_phantom.py [--seeds 0 1 2] [--X-rays FOLDER] [--parts adam caid]
    python benchmarks/dense_phantom.py --seeds 0 --adam-steps 10 --caid-steps 5 --decoder-steps 5     whether it runs

Adam: landmarks of one X-ray are sought in those of other subjects, none of them seen in training, by the backbone, by
the same backbone before training (random init), by raw pixels, and without looking (the same place). Twice: in the
phantoms' X-rays as they are, all of one pose and exposure, and as patients come: tilted by up to 10 degrees, 0.9 to 1.1
times as large, moved, with other exposures, and with noise.

CAiD: encoders trained with and without the restoration of context (modes "caid" and "id": same start, views and
steps), then frozen, and the untrained one; new decoders, alike and trained alike, restore distorted X-rays of unseen
subjects.

A seed of Adam takes about half an hour of one processor core, one of CAiD a few minutes. Tables give mean and standard
deviation over the seeds. FOLDER keeps the phantoms for the next run.
"""

import argparse
import copy
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from monai.handlers import LrScheduleHandler
from monai.transforms import Compose, NormalizeIntensityd, RandFlip, RandRotate
from torch import Tensor, nn
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, load_datalist, preprocessing
from medgenesis.data.landmarks import Landmarks, read_landmarks
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import CollapseGuard
from medgenesis.methods import Adam, CAiD, initialise_from_stage
from medgenesis.networks import ResNet25D, UNet25D
from medgenesis.transfer import (
    DenseEmbedder,
    dense_baselines,
    landmark_figures,
    restoration_errors,
    same_position_figures,
    whole_figures,
)
from medgenesis.transforms import (
    RandAnatomyCelld,
    RandBlur,
    RandBrightnessContrast,
    RandCAiDDistortion,
    RandResizedCrop,
    RandSlab,
    RandSlabd,
    RandTwoViewsd,
)

Figures = dict[str, dict[str, list[float]]]  # row -> column -> one figure a seed


def xrays(folder: Path, subjects: int) -> tuple[list[dict], list[dict], Landmarks]:
    """Records of the training and of the test subjects, and all landmarks; a fine grid where X-rays are fine."""
    if not (folder / "xray_landmarks.csv").is_file():  # kept from a run before
        write_phantoms(folder, subjects, 5, shape=(128, 48, 128), split=(5 / 6, 0, 1 / 6))
    train, test = (load_datalist(folder / "xray_datalist.json", section) for section in ("training", "test"))
    return train, test, read_landmarks(folder / "xray_landmarks.csv")


def slabs(records: list[dict], views: Callable, count: int, seed: int) -> PatchDataset:
    """So many samples; an X-ray is a slab of one slice here, for speed."""
    every = -(-count // len(records))
    keys = ("image", "key", "target")
    settings = {"patches_per_image": every, "seed": seed, "cache": "memory", "keys": keys}
    return PatchDataset(records, preprocessing(), RandSlabd("image", 1), views, **settings)


def train(method: nn.Module, dataset: PatchDataset, batch: int, optimizer: torch.optim.Optimizer, seed: int) -> None:
    """One epoch, in one cosine of the learning rate."""
    loader = DataLoader(dataset, batch, sampler=dataset.sampler(), drop_last=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader))
    handlers = [LrScheduleHandler(schedule, print_lr=False, epoch_level=False), CollapseGuard()]
    start = time.perf_counter()
    trainer = PretextTrainer("cpu", 1, loader, method, optimizer, schedule, handlers, seed=seed)
    trainer.run()
    parts = ", ".join(f"{name} {float(value):.3f}" for name, value in trainer.state.metrics.items())
    print(f"  {type(method).__name__}: {len(loader)} steps, {time.perf_counter() - start:.0f} s; {parts}", flush=True)


def trained(method: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in method.parameters() if weight.requires_grad]


def sgd(method: nn.Module, lr: float) -> torch.optim.SGD:
    return torch.optim.SGD(trained(method), lr, momentum=0.9, weight_decay=1e-4)


class Standardised(nn.Module):
    """Each window with mean 0 and sd 1, as Adam's views here: brightness is what a short training learns first."""

    def forward(self, x: Tensor) -> Tensor:
        sd, mean = torch.std_mean(x, dim=(2, 3), keepdim=True, correction=0)
        return (x - mean) / (sd + 1e-3)


def cell_views(level: int, args: argparse.Namespace) -> Compose:
    """Adam's, milder: a short training of small views keeps what is a few pixels away apart. No corner is black."""
    turn = RandRotate(math.radians(args.tilt), prob=1.0, padding_mode="border", keep_size=True, dtype=None)
    view = [RandResizedCrop(args.size, args.scale), RandBrightnessContrast(), RandBlur(), turn]
    both = NormalizeIntensityd(["image", "key"], channel_wise=True)
    cell = RandAnatomyCelld("image", level, anywhere=not args.grid)
    return Compose([cell, RandTwoViewsd("image", view), both])


def as_patients_come(images: dict[str, Tensor], landmarks: Landmarks, seed: int) -> tuple[dict[str, Tensor], Landmarks]:
    """X-rays in poses and exposures of their own, with their landmarks; those that leave the X-ray are left out."""
    rng = np.random.default_rng(seed)
    changed, moved = {}, {}
    for name, image in images.items():
        angle, size = math.radians(rng.uniform(-10, 10)), rng.uniform(0.9, 1.1)
        height, width = image.shape[1:]
        middle, shift = np.array([(width - 1) / 2, (height - 1) / 2]), rng.uniform(-8, 8, 2)
        turn = size * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        y, x = np.mgrid[:height, :width]
        source = (np.stack([x, y], axis=-1) - middle - shift) @ np.linalg.inv(turn).T + middle
        grid = torch.from_numpy(source / middle - 1)[None].to(image.dtype)
        xray = (
            nn.functional.grid_sample(image[None], grid, align_corners=True)[0].clamp(0, 1)
            ** 2
            ** rng.uniform(-0.7, 0.7)
        )
        noise = torch.from_numpy(rng.normal(0, 0.02, xray.shape)).to(xray.dtype)
        changed[name] = (xray + noise).clamp(0, 1)
        places = {mark: turn @ (np.array(place) - middle) + middle + shift for mark, place in landmarks[name].items()}
        moved[name] = {m: tuple(p) for m, p in places.items() if (p >= 0).all() and (p <= 2 * middle).all()}
    return changed, moved


def distorted_views(size: int) -> RandTwoViewsd:
    """CAiD's, at a size below the published program's."""
    view = [RandResizedCrop(size), RandBrightnessContrast(), RandBlur(), RandFlip(0.5, spatial_axis=1)]
    return RandTwoViewsd("image", [*view, RandCAiDDistortion(least_side=size)], target_key="target")


def learn_landmarks(
    training: list[dict], tests: dict[str, tuple[dict[str, Tensor], Landmarks]], args: argparse.Namespace, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Figures of one seed, of each test: each backbone's, and those of the same place."""
    torch.manual_seed(seed)
    backbone = ResNet25D("resnet18", 1)  # starts as the control "random init" of the same seed
    backbones = {**dense_baselines(backbone, seed=seed), "Adam": backbone}
    previous = None
    for level, prune_above in zip(args.levels, args.prune_above, strict=True):
        method = Adam(
            backbone,
            level=level,
            queue_size=args.queue,
            momentum=args.momentum,
            prune_above=prune_above,
            prune_after=args.prune_after,
            split_batch=args.split_batch,
        )
        if previous is not None:
            initialise_from_stage(previous.state_dict(), method)
        dataset = slabs(training, cell_views(level, args), args.adam_steps * args.batch, seed)
        optimizer = torch.optim.AdamW(trained(method), args.adam_lr, weight_decay=1e-4)  # SGD needs more steps
        train(method, dataset, args.batch, optimizer, seed)
        previous = method
    figures = {}
    for title, (images, landmarks) in tests.items():
        rows = figures[title] = {}
        for name, network in backbones.items():
            embedder = DenseEmbedder(nn.Sequential(Standardised(), network), args.window, args.size)
            rows[name] = landmark_figures(embedder, images, landmarks, stride=args.stride, radii=args.radii)
            rows[name] |= whole_figures(embedder, list(images.values()), patches=100, seed=seed)
        rows["same place"] = same_position_figures(images, landmarks, args.radii)
    return figures


class FrozenEncoder(nn.Module):
    """A new decoder for a finished encoder: the restoration alone is learnt."""

    parts = ()

    def __init__(self, network: UNet25D) -> None:
        super().__init__()
        self.network = network
        network.encoder.requires_grad_(False)

    def restore(self, image: Tensor) -> Tensor:
        return self.network(image).sigmoid()

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.network.encoder.eval()  # its running statistics are frozen too
        restored = self.restore(batch["image"])
        return {"loss": nn.functional.mse_loss(restored, batch["target"]), "restored": restored.detach()}


def learn_context(
    training: list[dict], test: list[dict], args: argparse.Namespace, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Figures of one seed: errors on unseen subjects of a decoder on each encoder, and of trivial answers."""
    torch.manual_seed(seed)
    start = UNet25D("resnet18", 1)
    views = distorted_views(args.context_size)
    count, batch = args.caid_steps * args.context_batch, args.context_batch
    networks = {"untrained encoder": start}
    for mode in ("id", "caid"):
        torch.manual_seed(seed)
        method = CAiD(copy.deepcopy(start), mode=mode, queue_size=1024, momentum=0.95)
        train(method, slabs(training, views, count, seed), batch, sgd(method, args.caid_lr), seed)
        networks[f'mode "{mode}"'] = method.network
    held_out = slabs(test, views, 8 * len(test), seed=1)
    rows = {}
    for name, network in networks.items():
        torch.manual_seed(seed + 1000)
        probe = UNet25D("resnet18", 1)
        probe.encoder.load_state_dict(network.encoder.state_dict())
        method = FrozenEncoder(probe)
        dataset = slabs(training, views, args.decoder_steps * batch, seed + 1000)
        train(method, dataset, batch, sgd(method, args.decoder_lr), seed)
        errors = restoration_errors(method, dataset, held_out, 16)
        rows[name] = {"mean squared error": errors.pop("network")}
    rows |= {name: {"mean squared error": error} for name, error in errors.items()}
    return {"restored context of unseen subjects": rows}


def show(figures: Figures, title: str) -> None:
    """Mean, and sd where there are several seeds."""
    columns = list(dict.fromkeys(column for row in figures.values() for column in row))
    print(f"\n| {title} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, row in figures.items():
        cells = [_cell(row[column]) if column in row else "" for column in columns]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _cell(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.4g}"
    return f"{mean} ± {statistics.stdev(values):.2g}" if len(values) > 1 else mean


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--xrays", type=Path, help="folder that keeps the phantoms")
    parser.add_argument("--subjects", type=int, default=72, help="a sixth of them for the test")
    parser.add_argument("--parts", nargs="+", default=["adam", "caid"], choices=["adam", "caid"])
    adam = parser.add_argument_group("Adam")
    adam.add_argument("--levels", type=int, nargs="+", default=[4])
    adam.add_argument("--prune-above", type=float, nargs="+", default=[0.8], help="one a level; inf: none")
    adam.add_argument("--prune-after", type=int, default=600, help="steps")
    adam.add_argument("--adam-steps", type=int, default=1200, help="a level")
    adam.add_argument("--adam-lr", type=float, default=3e-4)
    adam.add_argument("--batch", type=int, default=64)
    adam.add_argument("--queue", type=int, default=1024)
    adam.add_argument("--momentum", type=float, default=0.996, help="with less, the queue lags: its age is learnt")
    adam.add_argument("--split-batch", type=int, default=4)
    adam.add_argument("--size", type=int, default=48, help="of a view and of a window at test")
    adam.add_argument("--scale", type=float, nargs=2, default=(0.8, 1.0), help="of a crop, share of the cell")
    adam.add_argument("--tilt", type=float, default=5.0, help="of a view, degrees either way")
    adam.add_argument("--grid", action="store_true", help="cells on Adam's grid alone, not at any place")
    adam.add_argument("--window", type=int, default=64, help="pixels of the X-ray (1.25 mm)")
    adam.add_argument("--stride", type=int, default=6)
    adam.add_argument("--radii", type=int, nargs="+", default=(8, 16))
    adam.add_argument("--test-xrays", type=int, default=6, help="the last; settings were chosen on the first six")
    caid = parser.add_argument_group("CAiD")
    caid.add_argument("--caid-steps", type=int, default=60)
    caid.add_argument("--caid-lr", type=float, default=0.03)
    caid.add_argument("--context-size", type=int, default=64)
    caid.add_argument("--context-batch", type=int, default=16)
    caid.add_argument("--decoder-steps", type=int, default=50)
    caid.add_argument("--decoder-lr", type=float, default=0.1)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    figures: dict[str, Figures] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    with tempfile.TemporaryDirectory() as temporary:
        training, test, landmarks = xrays(args.xrays or Path(temporary), args.subjects)
        prepare, crop = preprocessing(), RandSlab(1)
        images = {f"xrays/{Path(r['image']).name}": crop(prepare(dict(r))["image"]) for r in test[-args.test_xrays :]}
        tests = {
            "landmarks of unseen subjects": (images, landmarks),
            "landmarks of unseen subjects, posed and exposed as patients come": as_patients_come(images, landmarks, 0),
        }
        for seed in args.seeds:
            for part in args.parts:
                start, processor = time.perf_counter(), time.process_time()
                if part == "adam":
                    found = learn_landmarks(training, tests, args, seed)
                else:
                    found = learn_context(training, test, args, seed)
                wall, processor = time.perf_counter() - start, time.process_time() - processor
                print(f"seed {seed}, {part}: {wall:.0f} s, {processor:.0f} s of them on the processor")
                for title, rows in found.items():
                    print(f"  {title}")
                    for name, row in rows.items():
                        print(f"    {name}:", *(f"{column} {value:.4g};" for column, value in row.items()), flush=True)
                        for column, value in row.items():
                            figures[title][name][column].append(value)
    for title, rows in figures.items():
        show(rows, f"{title}, {len(args.seeds)} seeds")


if __name__ == "__main__":
    main()
