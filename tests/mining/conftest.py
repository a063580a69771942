"""Volumes that exist only as arrays or as tiny files, the list of what mining knows of them, and tables of patterns."""

import errno
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.mining_run import mine
from helpers.mining_world import Counted, noise
from monai.data import Dataset
from monai.transforms import Compose

from medgenesis.data import preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.mining import PatternTable, VolumeInfo
from medgenesis.mining.whole_volumes import mined_record
from medgenesis.networks import AutoEncoder3D


@pytest.fixture
def full_disk(monkeypatch):
    """full_disk() fills the disk: no file gets its name any more."""

    def refuse(self, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    return lambda: monkeypatch.setattr(Path, "replace", refuse)


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
def world(infos, loader):
    """world(shapes or arrays, validation, **infos) -> volumes, features, load: noise, where every cube is body."""

    def make(arrays=16, validation=5, **kwargs):
        arrays = noise(arrays) if isinstance(arrays, int) else arrays
        volumes = infos([array.shape for array in arrays], validation, **kwargs)
        features = np.random.default_rng(9).normal(size=(len(arrays), 8)).astype(np.float32)
        return volumes, features, loader(arrays)

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
def arrays():
    """Four bodies of noise in air, of four shapes."""
    rng = np.random.default_rng(0)
    found = []
    for shape in ((20, 24, 18), (18, 17, 30), (22, 16, 16), (16, 20, 9)):
        volume = np.zeros(shape, np.float32)
        inner = tuple(slice(2, side - 3) for side in shape)
        volume[inner] = 0.3 + 0.7 * rng.random(volume[inner].shape)
        found.append(volume)
    return found


@pytest.fixture
def dataset(scans, arrays):
    """dataset(validation=1, **preprocessing) -> data set of the arrays; what is read is counted from now on."""
    volumes = scans(arrays, validation=1)

    def make(records=None, **settings):
        Counted.read = []
        records = [mined_record(vars(volume)) for volume in volumes] if records is None else records
        steps = preprocessing(**{"intensity": "unit", **settings})
        return Dataset(records, Compose([Counted("image"), steps]))

    return make


@pytest.fixture
def network():
    """A tiny auto-encoder that has learnt nothing."""
    torch.manual_seed(0)
    return AutoEncoder3D(1, 2)


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


@pytest.fixture(scope="session")
def datalist(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), 6, 0, shape=(24, 24, 20), split=(0.7, 0.3, 0.0))


@pytest.fixture(scope="session")
def mined(datalist, tmp_path_factory):
    """A folder where all is done."""
    folder = tmp_path_factory.mktemp("run") / "mined"
    mine(datalist, folder)
    return folder


@pytest.fixture
def again(mined, tmp_path):
    """A copy of it, as deep in the tree: paths of patterns.json stay right."""
    return shutil.copytree(mined, mined.parent / tmp_path.name)


@pytest.fixture
def described(datalist, mined):
    """Settings with which no auto-encoder is learnt, which saves time."""
    return {"features": str(mined / "autoencoder" / "pretrained.pt")}
