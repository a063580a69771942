"""Every transform in each of its variants, called alike: what the contract and the citizenship tests run over."""

from typing import Any

import numpy as np
import pytest
import torch

import medgenesis.transforms as library
from medgenesis.transforms.base import BatchedVolumeTransform, RandVolumeTransformd

IDEAS = [name.removeprefix("Batched") for name in library.__all__ if name.startswith("Batched")]
# settings that do something to any volume, however small, in every call
SUBJECTS = {name: {} for name in IDEAS} | {
    "SemanticGenesis": {"preset": "semantic"},
    "AnatomyCell": {"level": 9, "least_side": 1},
    "Blur": {"sigma": (0.5, 2.0), "prob": 1.0},
    "BrightnessContrast": {"prob": 1.0},
    "CAiDDistortion": {"rates": {"inner": 0.5, "outer": 0.1, "swap": 0.4}, "least_side": 1},
    "ResizedCrop": {"size": 9},
    "MaskBlocks": {"block_size": 2},
}
VARIANTS = {"array": "Rand{}", "dictionary": "Rand{}d", "batched": "Batched{}"}
COMPOSITES = ("Genesis", "SemanticGenesis")
CROPS = ("AnatomyCell", "ResizedCrop")  # what changes the shape, and so is applied always
ONES = [name for name in SUBJECTS if name not in (*COMPOSITES, *CROPS)]  # what has a probability
AFFINE = np.array([[2.0, 0.3, 0, 5], [0, 3, 0, 6], [-0.2, 0, 4, 7], [0, 0, 0, 1]])  # no axis like another

every_subject = pytest.mark.parametrize("subject", SUBJECTS)
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def variant_class(subject: str, variant: str) -> type:
    return getattr(library, VARIANTS[variant].format("Genesis" if subject in COMPOSITES else subject))


def build(subject: str, variant: str = "array", **settings: Any):
    """A transform; the dictionary face works on "image"."""
    first = ("image",) if variant == "dictionary" else ()
    return variant_class(subject, variant)(*first, **{**SUBJECTS[subject], **settings})


def result_shape(subject: str, *shape: int) -> tuple[int, ...]:
    """The spatial shape that a subject makes of one; a side of 0 where it cannot."""
    if subject == "ResizedCrop":
        return (9,) * len(shape)
    if subject == "MaskBlocks" and max(shape) <= 2:  # a single block
        return (0,) * len(shape)
    cells = {2: (16, 32), 3: (8, 8, 8)}[len(shape)] if subject == "AnatomyCell" else (1,) * len(shape)
    return tuple(side // count for side, count in zip(shape, cells, strict=True))


def outputs(transform, volume) -> tuple:
    """What a face makes of one volume (C, *spatial): one output, or corrupted and target."""
    if isinstance(transform, RandVolumeTransformd):
        out = transform({"image": volume})
        return tuple(out[name] for name in ("image", "target") if name in out)
    batched = isinstance(transform, BatchedVolumeTransform)
    out = transform(volume[None] if batched else volume)
    out = out if isinstance(out, tuple) else (out,)
    return tuple(o[0] for o in out) if batched else out


def call(transform, volume) -> torch.Tensor:
    """The same as one plain tensor (outputs, C, *spatial)."""
    return stacked(outputs(transform, volume))


def stacked(result) -> torch.Tensor:
    """One result or a tuple of results as one plain tensor."""
    results = result if isinstance(result, tuple) else (result,)
    return torch.stack([torch.as_tensor(one).as_subclass(torch.Tensor) for one in results])


def cube(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Uniform values in [0, 1), multiples of 1/256: every floating type holds them exactly."""
    values = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed))
    return (values / 256).to(dtype)
