"""Slice-wise inference: a network of slabs (2.5D) applied to whole volumes."""

from collections.abc import Callable
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SimpleInferer
from monai.utils import convert_to_dst_type
from torch import Tensor

from medgenesis.transforms import RandSlab
from medgenesis.transforms.functional.slabs import from_display, take_slab


class SlabInferer(Inferer):
    """Apply a network of slabs to each slice of a volume, and stack the answers to a volume on the same grid.

    A slice is shown as the middle of a slab, cut and turned for display as by `RandSlab` in training: in front of the
    first slice and behind the last one these are repeated. An image is a slab of equal slices. Of each slice another
    inferer makes an image of answers, MONAI's `SlidingWindowInferer` with overlapping windows, for example. Where the
    network answers each slab by a vector (logits, features), the volume's answer is their mean over its slices.

    Args:
        slices: of a slab, an odd number.
        axis: spatial axis that the slices lie across: 0, 1 or 2.
        inferer: of slabs (B, k, H, W), with the network; None shows it whole slices, whose sides must suit it.
        step: slices from each to the next.
        step_mm: mm from each to the next instead, as `RandSlab` rounds them.
        batch_size: slices at a time.

    Shape:
        inputs: volumes (B, 1, X, Y, Z) or images (B, 1, X, Y); network: (n, k, H, W) -> (n, C, H, W) or (n, C);
        returns (B, C, X, Y, Z) or (B, C, X, Y), with the meta data of the inputs; or (B, C).

    Raises:
        ValueError: a setting that `RandSlab` refuses, a random axis, or no slice at a time; (on call) inputs of another
            shape.
        VolumeError: (on call) `step_mm` of a volume without an affine.
    """

    def __init__(
        self,
        slices: int = 3,
        axis: int = 2,
        inferer: Inferer | None = None,
        *,
        step: int = 1,
        step_mm: float | None = None,
        batch_size: int = 8,
    ) -> None:
        self.crop = RandSlab(slices, axis, step=step, step_mm=step_mm)  # refuses what cannot be
        if axis not in (0, 1, 2) or batch_size < 1:
            raise ValueError(
                f"axis, batch_size: axis must be 0, 1 or 2, batch_size at least 1; found {axis!r} and {batch_size}. "
                "Correct them."
            )
        self.axis, self.inferer, self.batch_size = axis, inferer or SimpleInferer(), batch_size
        self.settings = {"slices": slices, "axis": axis, "step": step, "step_mm": step_mm, "batch_size": batch_size}

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        if inputs.ndim not in (4, 5) or inputs.shape[1] != 1:
            raise ValueError(
                f"inputs: must be volumes (B, 1, X, Y, Z) or images (B, 1, X, Y); found shape {tuple(inputs.shape)}. "
                "Give one channel."
            )
        answers = [self._infer(inputs[i], network, *args, **kwargs) for i in range(len(inputs))]
        return convert_to_dst_type(torch.stack(answers), inputs)[0]

    def _infer(self, volume: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(1, X, Y, Z) or (1, X, Y) -> (C, X, Y, Z) or (C, X, Y), or (C,)."""
        spacing = volume.pixdim.tolist() if isinstance(volume, MetaTensor) else None
        plain = volume.as_tensor()[0] if isinstance(volume, MetaTensor) else volume[0]
        solid = plain if plain.ndim == 3 else plain[..., None]
        axis = 2 if solid.shape[2] == 1 else self.axis
        step = self.crop.step_across(axis, spacing) if plain.ndim == 3 else 1  # an image's slices are all the same
        half, planes = self.crop.slices // 2, []
        for places in torch.arange(solid.shape[axis]).split(self.batch_size):
            slabs = [take_slab(solid, axis, range(z - half * step, z + half * step + 1, step)) for z in places.tolist()]
            answers = self.inferer(torch.stack(slabs), network, *args, **kwargs)
            planes.append(answers if answers.ndim == 2 else from_display(answers, axis))
        if planes[0].ndim == 2:
            return torch.cat(planes).mean(dim=0)
        result = torch.cat(planes).movedim(0, axis + 1)
        return result if plain.ndim == 3 else result[..., 0]
