"""A region of a volume marked in one view and sought in another: examples of segmentation that need no annotation."""

from collections.abc import Hashable, Mapping
from math import pi
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, RandAffine
from monai.utils import MAX_SEED, ensure_tuple
from skimage.segmentation import slic

from medgenesis.transforms.base import as_volume, like, plain
from medgenesis.transforms.checks import check_batch, check_count
from medgenesis.transforms.nonlinear_intensity import RandNonlinearIntensity
from medgenesis.transforms.reseeding import Reseeded


class RandRegionPromptd(Reseeded, MapTransform):
    """Mark a supervoxel of a volume, and make two views of it: a prompt with its mask, and a query with its target.

    SLIC divides the volume (the mean of its channels) into supervoxels, coarse or fine by a number drawn anew each
    time, and one of them is drawn. Both views are turned, scaled and shifted, each by itself, with the region's mask
    (nearest voxel); intensities go through a non-linear curve, those of the prompt less often. A view that would lose
    three quarters of the region is taken without its affine map.

    Args:
        keys: the volume (C, *spatial), scaled to [0, 1]; the query takes its place, of its dtype, as has the prompt.
        target_key: where the region in the query goes, float (1, *spatial), 0 or 1.
        prompt_key: where the prompt goes.
        mask_key: where the region in the prompt goes.
        segments: least and greatest number of supervoxels asked for; drawn evenly on a logarithmic scale.
        compactness: of SLIC: how far a supervoxel's form goes before its intensities.
        sizes: least and greatest share of the volume that a region may have; where no region fits, the nearest one.
        background: regions whose mean lies at or below it are air, which is drawn only where there is nothing else.
        degrees: greatest turn about each axis.
        scale: greatest change of each side, as a share.
        shift: greatest shift, as a share of each side.
        prob_curve: probability of the non-linear curve of (prompt, query).
        p_decreasing: probability of a falling curve, which turns dark into bright.

    Raises:
        ValueError: a setting out of its range, or names that are not all different.
        VolumeError: (on call) not (C, *spatial), empty, not floating point, or not finite.

    References:
        Ouyang et al., Self-supervision with superpixels, ECCV 2020 (arXiv 2007.09886), section 3.2: superpixels as
        pseudo labels, support and query by a geometric and an intensity transform.
        Achanta et al., SLIC superpixels, TPAMI 2012; scikit-image's `slic`.

    Notes:
        Published: 2D superpixels of Felzenszwalb and Huttenlocher, computed beforehand, elastic and affine maps. Here
        SLIC on 2D and 3D, on the fly, affine maps; the curve is that of Models Genesis in place of a gamma transform.
    """

    def __init__(
        self,
        keys: str = "image",
        *,
        target_key: str = "target",
        prompt_key: str = "prompt",
        mask_key: str = "prompt_mask",
        segments: tuple[int, int] = (8, 64),
        compactness: float = 0.1,
        sizes: tuple[float, float] = (0.002, 0.4),
        background: float = 0.02,
        degrees: float = 20,
        scale: float = 0.2,
        shift: float = 0.1,
        prob_curve: tuple[float, float] = (0.3, 0.9),
        p_decreasing: float = 0.0,
    ) -> None:
        super().__init__(keys)
        names = (*self.keys, target_key, prompt_key, mask_key)
        if len(self.keys) != 1 or len(set(names)) != 4:
            raise ValueError(f"keys: must be four different names with the others; found {names}. Give other names.")
        if not 2 <= check_count("segments", segments[0]) <= check_count("segments", segments[1]):
            raise ValueError(f"segments: must be two rising numbers of 2 or more; found {segments}. Give (8, 64).")
        if not 0 <= sizes[0] < sizes[1] <= 1:
            raise ValueError(f"sizes: must be two rising shares in [0, 1]; found {sizes}. Give (0.002, 0.4).")
        if not (compactness > 0 and 0 <= degrees <= 180 and 0 <= scale < 1 and 0 <= shift < 1):
            raise ValueError(
                "compactness, degrees, scale, shift: must be above 0, at most 180, below 1 and below 1; found "
                f"{compactness}, {degrees}, {scale}, {shift}. Give smaller changes."
            )
        if len(ensure_tuple(prob_curve)) != 2:
            raise ValueError(
                f"prob_curve: must be two probabilities, of the prompt and of the query; found {prob_curve}. Give "
                "(0.3, 0.9)."
            )
        self.target_key, self.prompt_key, self.mask_key = target_key, prompt_key, mask_key
        self.segments, self.compactness, self.sizes, self.background = segments, compactness, sizes, background
        self.degrees, self.scale, self.shift = degrees, scale, shift
        self.curves = [RandNonlinearIntensity(p_decreasing, prob=prob) for prob in prob_curve]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        volume = as_volume(result[self.keys[0]])
        bare = plain(volume)
        check_batch(bare[None], "C", (0, 1))
        mask = like(self._region(bare.float().mean(dim=0).cpu().numpy()), volume)
        names = ((self.prompt_key, self.mask_key), (self.keys[0], self.target_key))
        for (image_key, mask_key), curve in zip(names, self.curves, strict=True):
            result[image_key], result[mask_key] = self._view(volume, mask, curve)
        return result

    def _region(self, volume: np.ndarray) -> torch.Tensor:
        """The mask (1, *spatial) of a supervoxel of a volume (*spatial), float."""
        low, high = np.log(self.segments)
        asked = int(np.rint(np.exp(self.R.uniform(low, high))))
        labels = slic(volume, n_segments=asked, compactness=self.compactness, channel_axis=None, start_label=0)
        counts = np.bincount(labels.ravel())
        means = np.bincount(labels.ravel(), weights=volume.ravel()) / np.maximum(counts, 1)
        shares = counts / labels.size
        fitting = (shares >= self.sizes[0]) & (shares <= self.sizes[1]) & (counts > 0)
        for allowed in (fitting & (means > self.background), fitting):
            if allowed.any():
                chosen = self.R.choice(np.flatnonzero(allowed))
                break
        else:
            chosen = np.abs(shares - np.mean(self.sizes)).argmin()
        return torch.from_numpy(labels == chosen)[None].float()

    def _view(
        self, volume: torch.Tensor, mask: torch.Tensor, curve: RandNonlinearIntensity
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rank = volume.ndim - 1
        axes = 1 if rank == 2 else 3
        affine = RandAffine(
            prob=1.0,
            rotate_range=(self.degrees * pi / 180,) * axes,
            scale_range=(self.scale,) * rank,
            translate_range=tuple(self.shift * side for side in volume.shape[1:]),
            padding_mode="border",
        ).set_random_state(seed=self.R.randint(MAX_SEED, dtype="uint32"))
        curve.set_random_state(seed=self.R.randint(MAX_SEED, dtype="uint32"))
        moved = affine(volume, mode="bilinear")
        marked = affine(mask, mode="nearest", padding_mode="zeros", randomize=False)
        if marked.sum() < 0.25 * mask.sum():  # it has left the view
            moved, marked = volume, mask
        return curve(moved.clamp(0, 1)).to(volume.dtype), marked
