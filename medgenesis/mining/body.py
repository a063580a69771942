"""Where the body is in a volume: the box that coordinates may be relative to."""

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from torch.nn.functional import avg_pool3d

from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name

_COARSE_SIDE = 64  # voxels: noise is averaged away, and a couch becomes thin enough to be opened away


def body_box(volume: torch.Tensor, threshold: float = 0.1) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel of the body along each axis, and the voxel behind its last.

    The volume is averaged over blocks (about 64 a side), thresholded and opened by a cube of 3 blocks, which parts the
    body from a couch or a hose; the largest connected piece is the body. So the box is exact to a block or two, and
    leaves out what is thinner than three.

    Args:
        volume: (C, X, Y, Z) in [0, 1]; its first channel is looked at.
        threshold: above it a block is body: the default is -800 HU on the `ct` scale, which lungs may fall below,
            but no skin does. For MR with a bright background take more, for dark scans less.

    Raises:
        VolumeError: nothing lies above the threshold.
    """
    channel = volume.as_tensor()[:1] if isinstance(volume, MetaTensor) else volume[:1]
    block = [max(1, side // _COARSE_SIDE) for side in channel.shape[1:]]
    # ceil_mode: the last, incomplete block counts too, else the box would end before the volume does
    coarse = avg_pool3d(channel.float(), block, ceil_mode=True, count_include_pad=False)[0].numpy(force=True)
    body = coarse > threshold
    opened = ndimage.binary_opening(np.pad(body, 1, mode="edge"), np.ones((3, 3, 3)))[1:-1, 1:-1, 1:-1]
    pieces, count = ndimage.label(opened if opened.any() else body)
    if count == 0:
        raise VolumeError(
            f"{volume_name(volume)}: no voxel lies above {threshold}, so it shows no body: lower the threshold "
            "(`body_threshold`), check the intensity preset, or leave the file out"
        )
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    spans = ndimage.find_objects(pieces)[largest - 1]
    first = tuple(span.start * voxels for span, voxels in zip(spans, block, strict=True))
    sides = zip(spans, block, channel.shape[1:], strict=True)
    return first, tuple(min(span.stop * voxels, side) for span, voxels, side in sides)
