"""Samples of cases in memory: crops for a pretext, and turned and scaled crops with their label to fine-tune on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import Compose, Randomizable, Transform
from torch import Tensor

from benchmarks.evidence.sets import Case
from medgenesis.data.patch_dataset import SeededDataset

KEYS = ("image", "label", "target", "mask", "class", "key", "prompt", "prompt_mask", "other", "offset", "corners")


class CasesInMemory(SeededDataset):
    """Samples of cases in turn, each a function of (seed, epoch, index): a killed run goes on as if it had not been.

    Args:
        sources: what the samples are made of, in turn: dictionaries of tensors.
        transform: random, from a source to a sample.
        samples: of an epoch.
        seed: of all samples.
    """

    def __init__(self, sources: Sequence[Mapping[str, Any]], transform: Callable, samples: int, seed: int) -> None:
        super().__init__(Compose([transform]), seed, KEYS)
        self.sources, self.samples = list(sources), samples

    def __len__(self) -> int:
        return self.samples

    def source(self, index: int) -> dict[str, Any]:
        return dict(self.sources[index % len(self.sources)])

    def file(self, index: int) -> str:
        return f"source {index % len(self.sources)}, in memory"


class RandCropOfCased(Randomizable, Transform):
    """A crop of `image` (1, *spatial) at a random place within `sides`, for pretexts; `origin` fixes the place.

    `corners` says where it lies: shares of the image's sides, without what is padded.
    """

    def __init__(self, crop: Sequence[int]) -> None:
        self.crop = tuple(crop)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        image = data["image"]
        starts = data.get("origin")
        if starts is None:
            starts = [
                (whole - side) // 2 + self.R.randint(-free, free + 1)
                for whole, side, free in zip(image.shape[1:], self.crop, _room(data["sides"], self.crop), strict=True)
            ]
        window = tuple(slice(start, start + side) for start, side in zip(starts, self.crop, strict=True))
        sides = np.array(data.get("sides", image.shape[1:]))
        near = np.array(starts) - (np.array(image.shape[1:]) - sides) // 2
        corners = torch.as_tensor(np.stack([near, near + self.crop]) / sides, dtype=torch.float32)
        return {**data, "image": image[(slice(None), *window)].clone(), "corners": corners}


class RandAugmentedCropd(Randomizable, Transform):
    """A crop of a labelled case at a random place, in half of all cases turned and scaled, and changed in intensity.

    The rates and ranges are those of the bundles' `finetune.yaml` (rotations of 0.1 rad, scales and factors of 10 %,
    shifts of 0.05, each in half of all cases); image and label are sampled once, by one map.
    """

    def __init__(self, crop: Sequence[int]) -> None:
        self.crop = tuple(crop)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        image, label = data["image"][None], data["label"][None]
        fine = label.shape[-1] // image.shape[-1]
        theta = torch.from_numpy(self._map(np.array(image.shape[2:]), data["sides"])).float()[None]
        grids = [F.affine_grid(theta, [1, 1, *(side * k for side in self.crop)], False) for k in (1, fine)]
        image = F.grid_sample(image, grids[0], padding_mode="border", align_corners=False)[0]
        label = F.grid_sample(label.float(), grids[1], mode="nearest", padding_mode="border", align_corners=False)[0]
        if self.R.random() < 0.5:
            image = image * (1 + self.R.uniform(-0.1, 0.1))
        if self.R.random() < 0.5:
            image = image + self.R.uniform(-0.05, 0.05)
        return {"image": image, "label": label}

    def _map(self, whole: np.ndarray, sides: Sequence[int]) -> np.ndarray:
        """(n, n + 1): from the crop's coordinates in [-1, 1] to the case's, last axis first, as PyTorch counts."""
        axes = len(whole)
        turned = np.eye(axes)
        if self.R.random() < 0.5:
            for first in range(axes):
                for second in range(first + 1, axes):
                    angle, plane = self.R.uniform(-0.1, 0.1), np.eye(axes)
                    plane[[first, second], [first, second]] = np.cos(angle)
                    plane[first, second], plane[second, first] = -np.sin(angle), np.sin(angle)
                    turned = turned @ plane
            turned = turned @ np.diag(1 + self.R.uniform(-0.1, 0.1, axes))
        free = np.array(_room(sides, self.crop))
        shift = self.R.uniform(-1, 1, axes) * free  # voxels
        theta = np.empty((axes, axes + 1))
        theta[:, :axes] = turned * np.array(self.crop) / whole[:, None]
        theta[:, axes] = 2 * shift / whole
        return np.concatenate([theta[::-1, axes - 1 :: -1], theta[::-1, axes:]], axis=1).copy()


def sources_of(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Cases as sources of `CasesInMemory`, without their labels, which no pretext sees."""
    return [{"image": one.image, "sides": one.sides} for one in cases]


def labelled_sources_of(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Cases as sources with their labels."""
    return [{**source, "label": one.label} for source, one in zip(sources_of(cases), cases, strict=True)]


def images_of(cases: Sequence[Case]) -> Tensor:
    """The images of all cases, (N, 1, *spatial)."""
    return torch.stack([case.image for case in cases])


def _room(sides: Sequence[int], crop: Sequence[int]) -> list[int]:
    """Voxels by which a crop may leave the middle and stay within the image; 0 where it is larger."""
    return [max(0, side - wanted) // 2 for side, wanted in zip(sides, crop, strict=True)]
