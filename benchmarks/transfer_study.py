"""Times of the transfer study's questions on computed features, and of saliency beside its bare forward passes.

    python benchmarks/transfer_study.py

Targets, on two cores: 600 episodes on 5 000 x 2 048 below 10 s; the 45 values of C below 3 minutes; saliency within 1.2
of the bare forward passes; peak memory that does not grow with the number of images (a process each, of features, of
few-shot, linear and knn). `--windows` takes fewer than the 54 289 of an image of 242 pixels.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from own_process import in_own_process
from PIL import Image

from medgenesis.transfer.analyses.saliency import occlusion_saliency
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import study_features
from medgenesis.transfer.named_encoder import open_encoder
from medgenesis.transfer.protocols.few_shot import FewShot, few_shot
from medgenesis.transfer.protocols.knn import Knn, knn
from medgenesis.transfer.protocols.linear import Linear, linear
from medgenesis.transfer.study_set import StudySet


def peak(images: int, folder: str) -> float:
    """Peak of the process' own memory (no pages of files) above its begin, MiB: features of a twelfth of so many
    images, and the protocols on stored features of all."""
    rows = np.arange(images)
    records = [{"image": f"{folder}/{row}.png", "class": int(row % 2), "patient": row} for row in rows[::12] // 12]
    records = [{**one, "intensity": "xray", "section": "test"} for one in records]
    weights = torch.randn(64, 2048, generator=torch.Generator().manual_seed(0))
    encoder = Encoder("projection", lambda batch: batch[:, 0, ::8, ::8].flatten(1) @ weights, 2, 1, (64, 64))
    stored = np.lib.format.open_memmap(f"{folder}/{images}.npy", "w+", np.float32, (images, 2048))
    for start in range(0, images, 1000):
        stored[start : start + 1000] = np.random.default_rng(start).normal(size=stored[start : start + 1000].shape)
    vectors = np.load(f"{folder}/{images}.npy", mmap_mode="r")
    sections, labels = np.array(["training"] * 3 + ["validation", "test"])[rows % 5], rows % 2
    with Watched() as watched:
        study_features(encoder, StudySet("images", tuple(records), ("a", "b")), folder)
        few_shot(vectors, labels, rows, FewShot(episodes=50))
        linear(vectors, labels, sections, rows, Linear((1e-4,), max_iter=20))
        knn(vectors, labels, sections, rows, Knn())
    return watched.most


class Watched:
    """Peak of anonymous memory (Linux), MiB, above that at the begin, looked at every 5 ms."""

    def __enter__(self) -> "Watched":
        self.begin, self.most, self.going = self.now(), 0.0, True
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.going = False
        self.thread.join()

    def _look(self) -> None:
        while self.going:
            self.most = max(self.most, self.now() - self.begin)
            time.sleep(0.005)

    @staticmethod
    def now() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def memory(counts: tuple[int, int]) -> None:
    """Print both peaks and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)
        for row in range(max(counts) // 12 + 1):
            Image.fromarray(generator.integers(0, 255, (64, 64), dtype=np.uint8)).save(f"{folder}/{row}.png")
        few, many = (in_own_process(peak, count, folder) for count in counts)
    print(
        f"peak memory: {few:.0f} MiB of {counts[0]} images, {many:.0f} MiB of {counts[1]}: {many / few:.2f} times",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=400, help="of saliency, about so many")
    parser.add_argument("--images", type=int, nargs=2, default=(4_000, 12_000), help="of which memory is compared")
    args = parser.parse_args()
    memory(tuple(args.images))
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 5000)
    vectors = generator.normal(size=(5000, 2048)) + 0.15 * labels[:, None] * (np.arange(2048) < 100)
    sections = np.array(["training"] * 3 + ["validation", "test"])[np.arange(5000) % 5]
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "features.npy", vectors.astype(np.float32))
        mapped = np.load(Path(folder) / "features.npy", mmap_mode="r")
        began = time.perf_counter()
        few_shot(mapped, labels, np.arange(5000), FewShot())
        print(f"600 episodes: {time.perf_counter() - began:.1f} s")
        began = time.perf_counter()
        linear(mapped, labels, sections, np.arange(5000), Linear())
        print(f"45 values of C: {time.perf_counter() - began:.1f} s")
    encoder, image = open_encoder("random:resnet18"), torch.rand(3, 242, 242)
    stride = max(1, round(232 / args.windows**0.5))
    for batch in (8, 32):
        inputs = image[None].repeat(batch, 1, 1, 1)
        encoder.embed(inputs)
        began = time.perf_counter()
        for _ in range(args.windows // batch):
            encoder.embed(inputs)
        bare = (time.perf_counter() - began) / (args.windows // batch * batch)
        began = time.perf_counter()
        found = occlusion_saliency(encoder, image, 10, stride, batch_size=batch)
        took = time.perf_counter() - began
        print(f"saliency, {batch} at a time: {took / (bare * found.changes.size):.3f} of the bare passes")


if __name__ == "__main__":
    main()
