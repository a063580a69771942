"""What an encoder is shown of an image while it is fine-tuned: random resized crops and flips, also of volumes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import Randomizable, Transform
from torch import Tensor
from torch.utils.data import default_collate

from medgenesis.errors import VolumeError
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import ImageReading
from medgenesis.transfer.geometry import resized
from medgenesis.transforms.functional.crops import crop

_BEND = math.log(4 / 3)  # of the sides of a crop, to both sides, log-uniform
_TRIES = 10


class ReadImaged(Transform):
    """From a record to its `image` (C, *spatial) in [0, 1] and its `class`: all that is kept in a cache.

    Args:
        read: how an encoder must see images.
    """

    def __init__(self, read: ImageReading) -> None:
        self.read = read

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        image = torch.as_tensor(self.read(record)).as_subclass(Tensor)
        return {"image": image, "class": int(record["class"]), "name": str(record["image"])}


class RandInputsd(Randomizable, Transform):
    """From an image to what is learnt from of it, (k, channels, *size): k = 1, of windows and slabs `inputs` of them.

    Args:
        encoder: whose size, channels and geometry count.
        least_share: of the image's area (volume) that a random crop has at least; None: no crops and no flips, the
            inputs are those of the evaluation.
        flip: mirror half of them, left to right.
        inputs: windows or slabs of a volume that are drawn at a time.
    """

    def __init__(self, encoder: Encoder, least_share: float | None, flip: bool, inputs: int) -> None:
        self.encoder = replace(encoder, network=_nothing)  # a copy for each worker: without the weights
        self.least_share, self.flip, self.inputs = least_share, flip, inputs

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        image, name = item["image"], item["name"]
        geometry = self.encoder.geometry_for(image.ndim - 1)
        several = image.ndim == 4 and (geometry.rule == "windows" or self.encoder.dims == 2)
        count = self.inputs if several else 1
        if self.least_share is None:
            seen = self.encoder.prepared(image, name)
            return {**item, "image": seen[self._some(len(seen), count)]}
        seen = geometry.as_seen(image, self.encoder.channels, self.encoder.dims, name)
        windows = geometry.rule == "windows" and seen.ndim == 5
        crops = [self._crop(seen[i], windows) for i in self._some(len(seen), count)]
        return {**item, "image": torch.stack(crops)}

    def _some(self, known: int, count: int) -> list[int]:
        """`count` of so many, each once where that is enough."""
        return self.R.choice(known, count, replace=count > known).tolist() if known > 1 else [0] * count

    def _crop(self, image: Tensor, window: bool) -> Tensor:
        size = self.encoder.size
        if window:  # the far ones are padded, as in the evaluation
            short = [max(0, wanted - side) for side, wanted in zip(image.shape[1:], size, strict=True)]
            image = F.pad(image, [one for side in reversed(short) for one in (0, side)])
            bends = np.exp(self.R.uniform(-_BEND, _BEND, len(size)))
            box = [min(side, round(own * bend)) for side, own, bend in zip(image.shape[1:], size, bends, strict=True)]
        else:
            box = self._box(image.shape[1:])
        starts = [self.R.randint(0, side - own + 1) for side, own in zip(image.shape[1:], box, strict=True)]
        cut = crop(image, starts, box)
        across = 2 if image.ndim == 3 else 1  # to the patient's left: of an image its columns
        if self.flip and self.R.uniform() < 0.5:
            cut = cut.flip(across)
        return resized(cut[None].contiguous(), size)[0]

    def _box(self, sides: Sequence[int]) -> list[int]:
        """Sides of a random resized crop (Inception's); of a volume in proportion to its own sides."""
        whole = math.prod(sides)
        for _ in range(_TRIES):
            share = self.R.uniform(self.least_share, 1.0)
            if len(sides) == 2:
                bend = math.exp(self.R.uniform(-_BEND, _BEND))
                box = [round(math.sqrt(share * whole / bend)), round(math.sqrt(share * whole * bend))]
            else:
                bends = self.R.uniform(-_BEND, _BEND, len(sides))
                shrink = share ** (1 / len(sides)) * np.exp(bends - bends.mean())
                box = [round(side * own) for side, own in zip(sides, shrink, strict=True)]
            if all(0 < own <= side for own, side in zip(box, sides, strict=True)):
                return box
        return list(sides)


def _nothing(batch: Tensor) -> Tensor:
    return batch


def collate_inputs(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch: `image` (B, k, channels, *size), `class` (B,).

    Raises:
        VolumeError: images and volumes in one data set.
    """
    first = items[0]["image"].shape
    odd = next((item for item in items if item["image"].shape != first), None)
    if odd is not None:
        raise VolumeError(
            f"{odd['name']}: must be learnt from as the others, {tuple(first)}; found {tuple(odd['image'].shape)}. "
            "Images and volumes make two data sets."
        )
    return default_collate([{name: item[name] for name in ("image", "class")} for item in items])
