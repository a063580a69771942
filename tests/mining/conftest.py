"""Volumes that exist only as arrays or as tiny files, the list of what mining knows of them, and tables of patterns."""

import weakref

import numpy as np
import pytest
import torch

from medgenesis.mining import PatternTable, VolumeInfo


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


@pytest.fixture
def scans(tmp_path):
    """scans(arrays, validation=0) -> list of VolumeInfo of `.npy` files, which lie on the standard grid at 1 mm.

    A patient a volume; the last `validation` are of that section.
    """

    def write(arrays, validation=0):
        (tmp_path / "scans").mkdir(exist_ok=True)
        written = []
        for i, array in enumerate(arrays):
            path = tmp_path / "scans" / f"{i}.npy"
            np.save(path, array)
            section = "training" if i < len(arrays) - validation else "validation"
            box = ((0, 0, 0), array.shape)
            written.append(VolumeInfo(str(path), f"p{i}", section, array.shape, (1.0, 1.0, 1.0), box))
        return written

    return write


@pytest.fixture
def table_of():
    """table_of(volumes, size, classes, rescaled=False) -> PatternTable: a cube of each class in each volume, anywhere.

    With `rescaled` training volumes also have cubes of resolutions 2 and 3, of another side in the plane.
    """

    def make(volumes, size, classes, rescaled=False):
        rng, first = np.random.RandomState(5), sum(volume.section == "training" for volume in volumes)
        table = PatternTable({"cube_size": list(size), "coordinates": "voxel", "rule": "any"}, volumes, [], [])
        for number in range(classes):
            for i, volume in enumerate(volumes):
                training = volume.section == "training"
                for resolution in (1, 2, 3) if rescaled and training else (1,):
                    change = 0 if resolution == 1 else rng.randint(-2, 3)
                    region = [size[0] + change, size[1] + change, size[2]]
                    origin = [rng.randint(side - crop + 1) for side, crop in zip(volume.shape, region, strict=True)]
                    table.items(volume.section).append(
                        {
                            "image": volume.image,
                            "patient": volume.patient,
                            "class": number,
                            "resolution": resolution,
                            "origin": origin,
                            "size": region,
                            "distance": float((i - number) % len(volumes)),
                            "reference": training and resolution == 1 and i == number % first,
                        }
                    )
        table.validate()
        return table

    return make
