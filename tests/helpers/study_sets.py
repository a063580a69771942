"""A small labelled data set in which the right answer is known, and encoders that are simple functions."""

import json

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from medgenesis.transfer.encoder import Encoder


def write_images(folder, per_class=12, classes=2, side=40, seed=0):
    """Images whose class is where they are bright, one patient each, in a datalist without sections of its own."""
    generator = np.random.default_rng(seed)
    records = []
    for number in range(per_class * classes):
        label = number % classes
        image = generator.integers(0, 60, (side, side)).astype(np.uint8)
        image[:, label * side // classes : (label + 1) * side // classes] += 150
        Image.fromarray(image).save(folder / f"p{number:03d}.png")
        records.append(
            {"image": f"p{number:03d}.png", "patient": f"p{number:03d}", "class": label, "intensity": "xray"}
        )
    (folder / "list.json").write_text(json.dumps({"name": "bright", "training": records}))
    return folder / "list.json"


class ColumnMeans:
    """The mean of each of 8 groups of columns: tells where an image is bright."""

    dims, channels, size = 2, 1, (32, 32)

    def __call__(self, batch: Tensor) -> Tensor:
        return batch.mean(1).reshape(len(batch), 32, 8, 4).mean((1, 3))


def column_encoder(name="columns", network=None):
    """An encoder of 2D images by a function."""
    return Encoder(name, network or ColumnMeans(), 2, 1, (32, 32), told={"function": name})


class LearntColumns(nn.Module):
    """One convolution of weights that learn, averaged at both ends of the columns (of volumes: of the second axis)."""

    channels, size = 1, (16, 16)

    def __init__(self, dims=2):
        super().__init__()
        self.dims = dims
        torch.manual_seed(0)
        self.layer = (nn.Conv2d if dims == 2 else nn.Conv3d)(1, 4, 3)

    def forward(self, x):
        found = torch.relu(self.layer(x)).mean(2)
        found = found.mean(-1) if x.ndim == 5 else found
        return torch.stack([found[..., :7].mean(-1), found[..., -7:].mean(-1)], 1).flatten(1)
