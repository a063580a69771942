"""Volumes of noise and of simple bodies, and the settings that discover patterns in them, for the tests of mining."""

import weakref
from pathlib import Path

import numpy as np
import torch
from monai.data import Dataset
from monai.transforms import MapTransform

from medgenesis.errors import VolumeError

SIZE = (6, 6, 4)
SMALL = {"classes": 5, "train_patients": 7, "validation_patients": 3, "cube_size": SIZE, "min_distance": 4}


def noise(count, shape=(20, 18, 14), seed=0):
    return np.random.default_rng(seed).random((count, *shape), dtype=np.float32)


def landmarks(seed=0, count=14):
    """Bodies of several sizes at several places; a bright organ at the same part of each: 0.3 to 0.7 of every side."""
    rng = np.random.default_rng(seed)
    arrays, boxes = [], []
    for _ in range(count):
        body = rng.integers(24, 40, 3)
        first = rng.integers(0, 8, 3)
        shape = first + body + rng.integers(0, 8, 3)
        array = np.zeros(shape, np.float32)
        array[tuple(slice(a, a + b) for a, b in zip(first, body, strict=True))] = 0.3
        organ = [slice(round(a + 0.3 * b), round(a + 0.7 * b)) for a, b in zip(first, body, strict=True)]
        array[tuple(organ)] = 0.9
        arrays.append(array)
        boxes.append((tuple(first.tolist()), tuple((first + body).tolist())))
    return arrays, boxes


def by_class(items, resolution=1):
    found = {}
    for item in items:
        if item["resolution"] == resolution:
            found.setdefault(item["class"], []).append(item)
    return found


class Counted(MapTransform):
    """Notes which files are read (in a class attribute, so that it is no part of the transform)."""

    read: list[str] = []

    def __call__(self, data):
        Counted.read.append(Path(data["image"]).name)
        return dict(data)


class Held(Dataset):
    """Volumes without meta data, of which it is known how many are alive."""

    def __init__(self, arrays, broken=()):
        super().__init__([{"image": f"/{i}.nii"} for i in range(len(arrays))])
        self.arrays, self.broken, self.alive, self.most = arrays, broken, weakref.WeakSet(), 0

    def __getitem__(self, i):
        volume = torch.from_numpy(np.array(self.arrays[i]))[None]
        self.alive.add(volume)
        self.most = max(self.most, len(self.alive))
        try:
            if i in self.broken:
                raise VolumeError(f"/{i}.nii: broken")
        except VolumeError as error:
            raise RuntimeError("applying transform") from error
        return {"image": volume}
