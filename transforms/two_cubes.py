"""Two overlapping cubes of one, each corrupted by itself: for methods that compare voxels."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, MapTransform, SpatialCrop
from monai.utils import MAX_SEED, ensure_tuple_rep

from medgenesis.transforms.base import as_volume
from medgenesis.transforms.checks import check_batch
from medgenesis.transforms.local_shuffle import RandLocalShuffle
from medgenesis.transforms.nonlinear_intensity import RandNonlinearIntensity
from medgenesis.transforms.painting import RandInPaint
from medgenesis.transforms.reseeding import Reseeded


class RandTwoCubesd(Reseeded, MapTransform):
    """Cut two overlapping cubes of a larger one, and corrupt each by itself.

    Args:
        keys: the larger cube (C, *spatial), scaled to [0, 1]; the first cube takes its place.
        size: voxels of the cubes, for each axis or one number for all.
        other_key: where the second cube goes.
        offset_key: where its place goes, int64 (n): that of its first voxel from the first cube's.
        corrupt: array transforms that keep voxels where they are, drawn anew for each cube; None: a non-linear curve,
            local shuffling (both half of the time) and in-painting (0.3).

    Raises:
        ValueError: names that are not all different; (on call) a cube that is larger than what it is cut from, or that
            may have no overlap: the larger one must have fewer than twice its voxels along each axis.
        VolumeError: (on call) a volume of integers, or not finite.

    References:
        The corruptions are those of Zhou et al., Models Genesis, Medical Image Analysis 2021, arXiv 2004.07882.
    """

    def __init__(
        self,
        keys: str = "image",
        size: int | Sequence[int] = 32,
        *,
        other_key: str = "other",
        offset_key: str = "offset",
        corrupt: Sequence[Callable] | None = None,
    ) -> None:
        super().__init__(keys)
        names = (*self.keys, other_key, offset_key)
        if len(self.keys) != 1 or len(set(names)) != 3:
            raise ValueError(f"keys: must be three different names with the others; found {names}. Give other names.")
        self.size, self.other_key, self.offset_key = size, other_key, offset_key
        own = [RandNonlinearIntensity(0.0, prob=0.5), RandLocalShuffle(prob=0.5), RandInPaint(prob=0.3)]
        self.corrupt = Compose(own if corrupt is None else corrupt)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None):
        super().set_random_state(seed, state)
        self.corrupt.set_random_state(seed=self.R.randint(MAX_SEED, dtype="uint32"))
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        volume = as_volume(result[self.keys[0]])
        check_batch(volume[None], "C", None)
        sides = volume.shape[1:]
        size = ensure_tuple_rep(self.size, len(sides))
        if any(not own <= side < 2 * own for own, side in zip(size, sides, strict=True)):
            raise ValueError(
                f"size: must be at most the sides it is cut from, and above half of them; found {size} of "
                f"{tuple(sides)}. Cut a larger cube before, by a quarter for example."
            )
        starts = [[self.R.randint(side - own + 1) for own, side in zip(size, sides, strict=True)] for _ in range(2)]
        cubes = []
        for start in starts:
            end = [first + own for first, own in zip(start, size, strict=True)]
            cubes.append(self.corrupt(SpatialCrop(roi_start=start, roi_end=end)(volume).clone()))
        result[self.keys[0]], result[self.other_key] = cubes
        result[self.offset_key] = torch.tensor(starts[1]) - torch.tensor(starts[0])
        return result
