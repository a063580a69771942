"""Pre-training on the released files of cubes and pseudo labels as they are, without mining."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medgenesis.data import RandAcceptedCropd, preprocessing
from medgenesis.data.patch_dataset import PatchDataset
from medgenesis.io.readers import array_shape
from medgenesis.mining.published import import_published


class ReleasedCubes:
    """What `train_data1_vwGen_ex_ref_fold1.0.npy`, … hold, in the place of a `PatternTable` in `pretrain.yaml`.

    Args:
        folder: holds the files, see `import_published`.
        classes: the first so many are learnt (published: 44 of 50).

    Attributes:
        num_classes: `classes`.
        settings: the size of the cubes.
        volumes: none: cubes are read from the files.
        training: records of cubes.
        validation: likewise; empty where there are no such files.

    Raises:
        DatalistError: as `import_published`.
    """

    def __init__(self, folder: str | Path, classes: int = 44) -> None:
        listed = import_published(folder, classes)
        self.num_classes = classes
        self.training, self.validation = listed["training"], listed["validation"]
        self.volumes: list[Any] = []
        self.settings = {"cube_size": list(array_shape(self.training[0]["image"])[1:])}


def released_dataset(
    table: ReleasedCubes,
    section: str,
    transform: Callable | None = None,
    *,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    num_workers: int = 0,
    deferred: bool = False,
) -> PatchDataset:
    """The cubes of a section with their classes, each corrupted anew in every epoch.

    Args:
        table: the released files.
        section: "training" or "validation".
        transform: random transform of a cube, as `RandGenesisd("image", preset="semantic")`.
        seed: with the epoch and the index, the only source of randomness.
        cache_dir: remembers what was found to be good; the cubes stay in the files.
        num_workers: processes that look through them when the data set is made.
        deferred: leave `transform` to `complete`, which a trainer calls on its device: see `Deferred`.
    """
    return PatchDataset(
        getattr(table, section),
        preprocessing(intensity="unit"),
        RandAcceptedCropd("image", table.settings["cube_size"], criterion="any"),
        transform,
        patches_per_image=1,
        seed=seed,
        cache="none",
        cache_dir=cache_dir,
        keys=("image", "target", "class"),
        num_workers=num_workers,
        deferred=deferred,
    )
