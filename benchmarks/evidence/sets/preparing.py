"""From files to cases in memory; prepared cases are kept, as reading takes a second a volume."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import CenterSpatialCrop, SpatialPad
from torch import Tensor

from benchmarks.evidence.rows import VERSION
from benchmarks.evidence.sets import Case
from medgenesis.data.intensity import ScaleIntensityPresetd
from medgenesis.errors import DatalistError
from medgenesis.storage import file_fingerprint, fingerprint, read_checkpoint, save_checkpoint


def data_folder(name: str) -> Path:
    """Where a collection lies: in MEDGENESIS_DATA, else in ../shared/data beside the checkout.

    Raises:
        DatalistError: it is not there.
    """
    every = Path(os.environ.get("MEDGENESIS_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
    if not (every / name).is_dir():
        raise DatalistError(
            f"{every / name}: must be the folder of the collection; found none. Set MEDGENESIS_DATA, or leave the set "
            "out (--set)."
        )
    return every / name


def contents_of(*folders: Path) -> str:
    """Fingerprint of the contents of the files of some folders."""
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    return fingerprint([file_fingerprint(file) for file in files])


def read_nifti(path: Path) -> Tensor:
    """The voxels of a file as they lie, (1, X, Y, Z), of several channels (labels) the first."""
    voxels = np.asarray(nib.load(path).dataobj, dtype=np.float32)
    return torch.from_numpy(voxels if voxels.ndim == 3 else voxels[..., 0].copy())[None]


def percentile_scaled(image: Tensor) -> Tensor:
    """MR scaled to [0, 1] between two percentiles of its non-zero voxels, as the bundles do."""
    return ScaleIntensityPresetd("image", "mri_percentile")({"image": image})["image"]


def case_of(
    number: int, image: Tensor, label: Tensor | None, fine: Sequence[int], step: int, pad: str = "edge"
) -> Case:
    """A case of an image in [0, 1] and its label, (1, *spatial) on one grid, the one that is scored.

    Args:
        number: of the patient.
        image, label: brought to the sides `fine`, what is larger cut and what is smaller padded, on both sides alike.
        fine: sides of the grid that is scored.
        step: by which the network's grid is coarser; an image voxel there is the mean of step^n.
        pad: what stands beyond the image, "edge" (its last voxels) or "constant" (0); beyond the label is background.
    """
    sides = tuple(min(-(-side // step), whole // step) for side, whole in zip(image.shape[1:], fine, strict=True))
    pool = F.avg_pool3d if len(fine) == 3 else F.avg_pool2d
    coarse = pool(_on_grid(image, fine, pad)[None], step)[0]
    return Case(number, coarse, None if label is None else _on_grid(label, fine, "constant").to(torch.uint8), sides)


def _on_grid(volume: Tensor, sides: Sequence[int], mode: str) -> Tensor:
    padded = SpatialPad(sides, mode=mode)(CenterSpatialCrop(sides)(volume))
    return torch.from_numpy(np.array(padded, dtype=np.float32))


def kept_cases(
    folder: Path, made_of: Mapping[str, str], read: Callable[[], dict[str, list[Case]]]
) -> dict[str, list[Case]]:
    """The cases of each section, from `folder` where they were prepared before from the same, else by `read`.

    Args:
        folder: of the files.
        made_of: what decides the cases: how they are prepared, and the fingerprint of their files.
        read: prepares them.
    """
    path = folder / f"{fingerprint({'version': VERSION, **made_of})[:16]}.pt"
    if not path.exists():
        save_checkpoint({name: [asdict(case) for case in cases] for name, cases in read().items()}, path)
    return {name: [Case(**case) for case in cases] for name, cases in read_checkpoint(path).items()}
