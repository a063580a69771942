"""Peak memory of pre-training, fine-tuning, inference and mining by cube size and width, and whether it stays flat.

    python benchmarks/memory.py                    # the table: minutes
    python benchmarks/memory.py --flat 2000        # 2 000 steps or volumes of each task, tiny: memory at five of them

Each figure is of a process of its own, on one thread of a processor (Linux), with the data in the same process: what
the task takes beyond the imported libraries, at its peak; with --flat what the process holds, libraries and all. A GPU
holds weights, gradients and feature maps, no data.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Events
from monai.data import Dataset
from monai.losses import DiceCELoss
from monai.transforms import Compose

from medgenesis.data import PatchDataset, RandAcceptedCropd, preprocessing
from medgenesis.engines import PretextTrainer
from medgenesis.methods import ModelsGenesis, Supervised
from medgenesis.mining import extract_features, index_volumes
from medgenesis.mining.whole_volumes import mined_record
from medgenesis.networks import AutoEncoder3D, UNet3D
from medgenesis.transforms import RandGenesisd

sys.path.insert(0, str(Path(__file__).resolve().parent))
from inference import Plain
from own_process import in_own_process
from transforms_memory import peak_bytes, resident_bytes

from medgenesis.inference import LabelMapInferer

MIB, VOLUMES = 2**20, 4
Sides = tuple[int, ...]


def write_volumes(folder: Path, side: int) -> list[dict[str, str]]:
    """Cubic volumes with label maps of three classes."""
    rng, records = np.random.default_rng(0), []
    for i in range(VOLUMES):
        image, label = folder / f"{i}.npy", folder / f"{i}_label.npy"
        np.save(image, rng.random((side,) * 3, dtype=np.float32))
        np.save(label, rng.integers(0, 3, (side,) * 3, dtype=np.uint8))
        records.append({"image": str(image), "label": str(label), "patient": str(i)})
    return records


def training(records: list[dict], cube: Sides, width: int, batch: int, steps: int, *, labels: bool) -> PretextTrainer:
    """A trainer of so many steps, of the pretext task or of segmentation."""
    keys = {"label_keys": "label"} if labels else {}
    dataset = PatchDataset(
        records,
        preprocessing(intensity="unit", **keys),
        RandAcceptedCropd("image", cube, criterion="any", **keys),
        None if labels else RandGenesisd("image", target_key="target"),
        patches_per_image=-(-batch * steps // len(records)),
        keys=("image", "label") if labels else ("image", "target"),
        cache="memory",
    )
    network = UNet3D(width=width, out_channels=3 if labels else 1, activation=None if labels else "sigmoid")
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    method = Supervised(network, loss, "label") if labels else ModelsGenesis(network)
    optimizer = torch.optim.Adam(method.parameters(), 0.001)
    return PretextTrainer("cpu", 1, dataset.loader(batch), method, optimizer, channels_last=True)


def pretraining(records: list[dict], cube: Sides, width: int, batch: int) -> None:
    training(records, cube, width, batch, 2, labels=False).run()


def finetuning(records: list[dict], cube: Sides, width: int, batch: int) -> None:
    training(records, cube, width, batch, 2, labels=True).run()


def segmenting(inferer: type, records: list[dict], cube: Sides, width: int, _: int) -> None:
    volume = torch.from_numpy(np.load(records[0]["image"]))[None, None]
    with torch.no_grad():
        network = UNet3D(width=width, out_channels=3, activation=None).eval()
        inferer(roi_size=cube, sw_batch_size=4, overlap=0.25)(volume, network)


def mining(records: list[dict], cube: Sides, width: int, _: int) -> None:
    """Index and features; `cube` is the size of the small copies."""
    volumes = Dataset([mined_record(record) for record in records], preprocessing(intensity="unit"))
    with tempfile.TemporaryDirectory() as folder:
        extract_features(AutoEncoder3D(1, width), index_volumes(volumes, folder, cube))


TASKS: dict[str, Callable] = {
    "pre-training": pretraining,
    "fine-tuning": finetuning,
    "inference, 3 classes": lambda *args: segmenting(Plain, *args),
    "the same, low_memory": lambda *args: segmenting(LabelMapInferer, *args),
    "mining: index and features": mining,
}


def peak_of(task: str, records: list[dict], cube: Sides, width: int, batch: int) -> float:
    torch.set_num_threads(1)
    return peak_bytes(lambda: TASKS[task](records, cube, width, batch), torch.device("cpu"))


class Noted:
    """Called so many times, it notes the memory of this process at five of them; as a transform it changes nothing."""

    def __init__(self, calls: int) -> None:
        self.wanted = [calls * share // 20 for share in (1, 5, 10, 15, 20)]
        self.count, self.found = 0, []

    def __call__(self, given: object = None, *_: object) -> object:
        self.count += 1
        if self.count in self.wanted:
            self.found.append((self.count, resident_bytes()))
        return given


def flat_training(records: list[dict], steps: int, noted: Noted, *, labels: bool) -> None:
    trainer = training(records, (16, 16, 16), 2, 2, steps, labels=labels)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, noted)
    trainer.run()


def flat_inference(inferer: type, records: list[dict], steps: int, noted: Noted) -> None:
    """Another volume at each step."""
    network = UNet3D(width=2, out_channels=3, activation=None).eval()
    sliding, rng = inferer(roi_size=(16, 16, 16), sw_batch_size=4, overlap=0.25), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(steps):
            sliding(torch.rand((1, 1, 24, 24, 24), generator=rng), network)
            noted()


def flat_mining(records: list[dict], steps: int, noted: Noted, *, features: bool) -> None:
    """The index of so many volumes, each a file of its own, or the features of them all."""
    network = AutoEncoder3D(1, 2)
    with tempfile.TemporaryDirectory() as folder:
        rng, paths = np.random.default_rng(0), [Path(folder) / f"{i}.npy" for i in range(steps)]
        for path in paths:
            np.save(path, rng.random((16, 16, 16), dtype=np.float32))
        given = [mined_record({"image": str(path), "patient": path.stem}) for path in paths]
        prepared = Compose([preprocessing(intensity="unit"), *([] if features else [noted])])
        index = index_volumes(Dataset(given, prepared), folder, 16)
        if features:
            network.encoder.register_forward_pre_hook(lambda *_: noted())
            extract_features(network, index)


FLAT: dict[str, Callable] = {
    "pre-training": partial(flat_training, labels=False),
    "fine-tuning": partial(flat_training, labels=True),
    "inference": partial(flat_inference, Plain),
    "inference, low_memory": partial(flat_inference, LabelMapInferer),
    "mining: index": partial(flat_mining, features=False),
    "mining: features": partial(flat_mining, features=True),
}


def flat(task: str, records: list[dict], steps: int) -> list[tuple[int, float]]:
    """Resident memory after some of the steps of a task, tiny."""
    torch.set_num_threads(1)
    noted = Noted(steps)
    FLAT[task](records, steps, noted)
    return noted.found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cubes", nargs="+", default=["32,32,32", "64,64,32"], help="voxels of each, X,Y,Z")
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--batch", type=int, default=6, help="cubes of a training step")
    parser.add_argument("--side", type=int, default=128, help="voxels of the volumes along each axis")
    parser.add_argument("--flat", type=int, metavar="STEPS", help="only the memory over so many steps")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        records = write_volumes(Path(folder), args.side)
        if args.flat:
            print(f"| MiB at step | {' | '.join(map(str, Noted(args.flat).wanted))} |\n|---|{'---|' * 5}")
            for task in FLAT:
                held = [memory for _, memory in in_own_process(flat, task, records, args.flat, start="fork")]
                print(f"| {task} | {' | '.join(f'{memory / MIB:.0f}' for memory in held)} |", flush=True)
            return
        cubes = [tuple(map(int, text.split(","))) for text in args.cubes]
        columns = [(cube, width) for cube in cubes for width in args.widths]
        heads = " | ".join(f"{'x'.join(map(str, cube))}, width {width}" for cube, width in columns)
        print(f"| MiB | {heads} |\n|---|{'---|' * len(columns)}")
        for task in TASKS:
            peaks = (in_own_process(peak_of, task, records, *one, args.batch, start="fork") for one in columns)
            print(f"| {task} | {' | '.join(f'{peak / MIB:.0f}' for peak in peaks)} |", flush=True)


if __name__ == "__main__":
    main()
