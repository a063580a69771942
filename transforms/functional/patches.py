"""What CAiD does to blocks of a cube: some are blacked out, or all around them; pairs of patches change places."""

import numpy as np
import torch

from medgenesis.transforms.functional.blocks import block_mask


def place_pairs(
    sizes: np.ndarray,
    places: np.ndarray,
    there: np.ndarray,
    shape: np.ndarray,
    side_range: tuple[np.ndarray, np.ndarray],
    margin: np.ndarray,
) -> np.ndarray:
    """Turn uniform numbers into pairs of patches of one size that do not overlap.

    Args:
        sizes: (B, K, n) in [0, 1), for the sides of both patches.
        places: (B, T, K, 2, n) in [0, 1): the first of T tries without overlap counts.
        there: (B,) which cubes have pairs at all.
        shape: (n,) sides of the cubes, voxels.
        side_range: least and greatest side (n,), both ends in.
        margin: (n,) voxels between patch and border; where they do not fit, as many on both sides as do.

    Returns:
        int64 (B, K, 2, 2, n): of both patches, first voxel and one past the last; empty where there is no pair, or none
        of the tries was free of overlap.
    """
    low, high = side_range
    sides = low + (sizes * (high - low + 1)).astype(np.int64)
    room = (shape - sides)[:, None, :, None]
    border = np.minimum(margin, room // 2)
    starts = border + (places * (room - 2 * border + 1)).astype(np.int64)
    apart = (abs(starts[:, :, :, 0] - starts[:, :, :, 1]) >= sides[:, None]).any(axis=-1)
    chosen = np.take_along_axis(starts, apart.argmax(axis=1)[:, None, :, None, None], axis=1)[:, 0]
    sides = np.where((apart.any(axis=1) & there[:, None])[..., None], sides, 0)
    return np.stack([chosen, chosen + sides[:, :, None]], axis=3)


def black_out(volume: torch.Tensor, blocks: np.ndarray, outside: np.ndarray, black: float) -> torch.Tensor:
    """Fill the blocks (B, K, 2, n) of each cube, or (B,) what lies outside of them; a new tensor like `volume`."""
    mask = block_mask(torch.from_numpy(blocks).to(volume.device), tuple(volume.shape[2:]))
    inverted = torch.from_numpy(outside).to(volume.device).view(-1, *[1] * (mask.ndim - 1))
    return torch.where((mask != inverted)[:, None], volume.new_tensor(black), volume)


def swap_patches(volume: torch.Tensor, pairs: np.ndarray) -> torch.Tensor:
    """Let both patches of each pair (B, K, 2, 2, n) change places, all channels alike.

    Every patch is read from the volume as it came in; where pairs overlap, the later one wins.

    Args:
        volume: (B, C, *spatial).
        pairs: as from `place_pairs`.

    Returns:
        A new tensor like `volume`.
    """
    swapped = volume.clone(memory_format=torch.contiguous_format)
    for cube, new, cube_pairs in zip(volume, swapped, pairs, strict=True):
        for pair in cube_pairs[(cube_pairs[:, 0, 0] < cube_pairs[:, 0, 1]).all(axis=-1)].tolist():
            one, other = ((..., *(slice(*ends) for ends in zip(*patch, strict=True))) for patch in pair)
            new[one], new[other] = cube[other], cube[one]
    return swapped
