"""The pretext task on whole volumes, for looking."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.data.utils import dense_patch_slices, to_affine_nd
from monai.networks.utils import eval_mode
from monai.transforms import SpatialPad
from PIL import Image
from torch import Tensor, nn

from medgenesis.handlers.preview import pretext_triples
from medgenesis.inference.written_for import claim_names
from medgenesis.io.naming import names_for
from medgenesis.storage.atomic import replacing

logger = logging.getLogger(__name__)


@torch.no_grad()
def restore_volume(
    network: nn.Module, volume: Tensor, corrupt: Callable, cube_size: Sequence[int], batch_size: int = 4
) -> tuple[Tensor, Tensor]:
    """Corrupt a volume cube by cube, as in pre-training, and restore it.

    Args:
        network: (B, C, *spatial) corrupted -> restored, or a pretext method, of which `restore` is asked; used in
            evaluation mode on the device of its weights.
        volume: (C, *spatial), intensities as in pre-training.
        corrupt: array transform, cube -> (corrupted, target), without flips, which would move the cube's content; or
            (corrupted, target, mask), whose last, what is hidden, bool (1, *spatial), is given to the method too.
        cube_size: voxels of a cube; cubes do not overlap, but the last along an axis is moved back into the volume,
            and where it covers another one it alone counts. A smaller volume is padded with 0.
        batch_size: cubes at a time.

    Returns:
        (corrupted, restored), both (C, *spatial).
    """
    device, restore = next(network.parameters()).device, getattr(network, "restore", network)
    padded = torch.as_tensor(np.asarray(SpatialPad(tuple(cube_size), method="end")(volume)))
    tiles = [(slice(None), *tile) for tile in dense_patch_slices(padded.shape[1:], cube_size, cube_size)]
    corrupted, restored = torch.empty_like(padded), torch.empty_like(padded)
    with eval_mode(network):
        for start in range(0, len(tiles), batch_size):
            batch = tiles[start : start + batch_size]
            made = [[torch.as_tensor(one) for one in corrupt(padded[tile])] for tile in batch]
            cubes, _, *mask = (torch.stack(ones) for ones in zip(*made, strict=True))
            answers = restore(cubes.to(device), *(hidden.to(device) for hidden in mask)).to(padded)
            for tile, cube, answer in zip(batch, cubes, answers, strict=True):
                corrupted[tile], restored[tile] = cube, answer
    inside = (slice(None), *(slice(side) for side in volume.shape[1:]))
    return corrupted[inside], restored[inside]


def restoration_error(
    network: nn.Module, volume: Tensor, corrupt: Callable, cube_size: Sequence[int], batch_size: int = 4
) -> float:
    """Mean squared difference of a restored volume to the original: how strange the volume is to the pretext task.

    Args and draws as of `restore_volume`; of a slab, (slices, H, W), the middle slice is compared.
    """
    _, restored = restore_volume(network, volume, corrupt, cube_size, batch_size)
    plain = torch.as_tensor(np.asarray(volume))
    if plain.ndim == 3:
        plain, restored = plain[len(plain) // 2], restored[len(plain) // 2]
    return float((plain - restored).square().mean())


def restore_volumes(
    network: nn.Module, volumes: Iterable[dict], corrupt: Callable, cube_size: Sequence[int], output_dir: str | Path
) -> None:
    """Write each volume corrupted and restored (NIfTI on the standard grid), and an image of middle slices.

    Args:
        network: see `restore_volume`.
        volumes: items with `image`, a MetaTensor (C, *spatial): a data set, or `StreamedDataset`.
        corrupt: see `restore_volume`.
        cube_size: see `restore_volume`.
        output_dir: receives `<name>_original.nii.gz`, `…_corrupted…`, `…_restored…` and `<name>.png`, of
            the names that `OutputNames` gives.

    Raises:
        DatalistError: the folder holds results of another image under one of the names.
    """
    folder = Path(output_dir)
    known = names_for(volumes)
    claim_names(folder, known)
    for item in volumes:
        image = item["image"]
        name = known.of(item)
        corrupted, restored = restore_volume(network, image, corrupt, cube_size)
        for postfix, volume in (("original", image), ("corrupted", corrupted), ("restored", restored)):
            with replacing(folder / f"{name}_{postfix}.nii.gz") as beside:
                nibabel.save(_nifti(volume, image.affine), beside)
        triple = pretext_triples({"target": image[None], "image": corrupted[None]}, restored[None])
        with replacing(folder / f"{name}.png") as beside:
            Image.fromarray(triple).save(beside)
        logger.info("written: %s, and %s_*.nii.gz beside it", folder / f"{name}.png", name)


def _nifti(volume: Tensor, affine: Tensor) -> nibabel.Nifti1Image:
    """Of (C, *spatial), channels last. MONAI's writer fails on axes in another order (nnU-Net's)."""
    array = np.moveaxis(np.asarray(volume), 0, -1)
    if array.ndim == 3:
        array = array[:, :, None]  # a flat image: channels are the fourth axis of the format
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    return nibabel.Nifti1Image(array, to_affine_nd(3, affine.numpy()))
