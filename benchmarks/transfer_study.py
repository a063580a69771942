"""Times of the transfer study's questions on computed features, and of saliency beside its bare forward passes.

    python benchmarks/transfer_study.py

Targets, on two cores: 600 episodes on 5 000 x 2 048 below 10 s; the 45 values of C below 3 minutes; saliency within 1.2
of the bare forward passes. `--windows` takes fewer than the 54 289 of an image of 242 pixels.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from medgenesis.transfer.analyses.saliency import occlusion_saliency
from medgenesis.transfer.open_encoder import open_encoder
from medgenesis.transfer.protocols.few_shot import FewShot, few_shot
from medgenesis.transfer.protocols.linear import Linear, linear


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=400, help="of saliency, about so many")
    args = parser.parse_args()
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
