"""Volumes that exist only as arrays, and the list of what mining knows of them."""

import weakref

import numpy as np
import pytest
import torch

from medgenesis.mining import VolumeInfo


class Loader:
    """Gives array i as a volume of its own; counts what is asked for and how many volumes are alive at once."""

    def __init__(self, arrays):
        self.arrays, self.asked, self.alive, self.most = arrays, [], weakref.WeakSet(), 0

    def __call__(self, i: int) -> torch.Tensor:
        volume = torch.from_numpy(np.array(self.arrays[i], dtype=np.float32))[None]
        self.asked.append(i)
        self.alive.add(volume)
        self.most = max(self.most, len(self.alive))
        return volume


@pytest.fixture
def loader():
    """loader(arrays (X, Y, Z)) -> a `load` for mining."""
    return Loader


@pytest.fixture
def infos():
    """infos(shapes, validation=0, patients=None, spacings=None, boxes=None) -> list of VolumeInfo.

    The last `validation` volumes are of that section; a patient a volume, unless given; the body fills the volume.
    """

    def make(shapes, validation=0, patients=None, spacings=None, boxes=None):
        count = len(shapes)
        return [
            VolumeInfo(
                image=f"/scans/{i:03}.nii.gz",
                patient=f"p{i:03}" if patients is None else patients[i],
                section="training" if i < count - validation else "validation",
                shape=shape,
                spacing_mm=(1.0, 1.0, 1.0) if spacings is None else spacings[i],
                body_box=((0, 0, 0), tuple(shape)) if boxes is None else boxes[i],
            )
            for i, shape in enumerate(shapes)
        ]

    return make
