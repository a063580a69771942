"""The pretext task on whole volumes, for looking."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.data import Dataset, MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.networks.utils import eval_mode
from monai.transforms import SaveImage
from PIL import Image
from torch import Tensor, nn

from medgenesis.atomic import replacing
from medgenesis.handlers.preview import pretext_triples

logger = logging.getLogger(__name__)


@torch.no_grad()
def restore_volume(
    network: nn.Module, volume: Tensor, corrupt: Callable, cube_size: Sequence[int], batch_size: int = 4
) -> tuple[Tensor, Tensor]:
    """Corrupt a volume cube by cube, as in pre-training, and restore it.

    Args:
        network: (B, C, *spatial) corrupted -> restored; used in evaluation mode on the device of its weights.
        volume: (C, *spatial), intensities as in pre-training.
        corrupt: array transform, cube -> (corrupted, target), without flips, which would move the cube's content.
        cube_size: voxels of a cube; cubes do not overlap.
        batch_size: cubes at a time.

    Returns:
        (corrupted, restored), both (C, *spatial).
    """
    device = next(network.parameters()).device

    def both(cubes: Tensor) -> tuple[Tensor, Tensor]:
        corrupted = torch.stack([torch.as_tensor(corrupt(cube.cpu())[0]) for cube in cubes]).to(device)
        return corrupted, network(corrupted)

    inferer = SlidingWindowInferer(tuple(cube_size), batch_size, overlap=0, mode="constant")
    plain = torch.as_tensor(np.asarray(volume)).to(device)
    with eval_mode(network):
        corrupted, restored = inferer(plain[None], both)
    return corrupted[0].cpu(), restored[0].cpu()


def restore_volumes(
    network: nn.Module, volumes: Dataset, corrupt: Callable, cube_size: Sequence[int], output_dir: str | Path
) -> None:
    """Write each volume corrupted and restored (NIfTI on the standard grid), and a picture of middle slices.

    Args:
        network: see `restore_volume`.
        volumes: items with `image`, a MetaTensor (C, *spatial).
        corrupt: see `restore_volume`.
        cube_size: see `restore_volume`.
        output_dir: receives `<name>_original.nii.gz`, `…_corrupted…`, `…_restored…` and `<name>.png`.
    """
    folder = Path(output_dir)
    for number, item in enumerate(volumes):
        image = item["image"]
        name = Path(str(image.meta.get("filename_or_obj", f"volume_{number}"))).name.split(".")[0]
        corrupted, restored = restore_volume(network, image, corrupt, cube_size)
        for postfix, volume in (("original", image), ("corrupted", corrupted), ("restored", restored)):
            save = SaveImage(folder, postfix, resample=False, separate_folder=False, print_log=False)
            save(MetaTensor(torch.as_tensor(np.asarray(volume)), affine=image.affine), {"filename_or_obj": name})
        triple = pretext_triples({"target": image[None], "image": corrupted[None]}, restored[None])
        with replacing(folder / f"{name}.png") as beside:
            Image.fromarray(triple).save(beside)
        logger.info("restored volume %d of %d: %s", number + 1, len(volumes), folder / f"{name}.png")
