"""In-plane elastic deformation: every slice is bent by a smooth random field."""

from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.transforms.base import BatchedVolumeTransform, RandVolumeTransform, RandVolumeTransformd
from medgenesis.transforms.functional.elastic import displacement, warp_in_plane
from medgenesis.transforms.params import Generator, Params, check_shape, draw_seeds


@dataclass(frozen=True, eq=False)
class InPlaneElasticParams(Params):
    """Fields drawn for a batch, as the seeds that they are hashed from.

    Attributes:
        seeds: (B,) int64.
        spatial_shape: the cubes' sides, voxels.
        alpha: factor of the smoothed field, voxels.
        sigma: standard deviation of the smoothing, voxels.
    """

    seeds: np.ndarray
    spatial_shape: tuple[int, ...]
    alpha: float
    sigma: float

    def expand(self) -> np.ndarray:
        """Displacements (B, 2, *spatial) along the first two spatial axes, voxels."""
        return displacement(torch.from_numpy(self.seeds), self.spatial_shape, self.alpha, self.sigma).numpy()


class RandInPlaneElastic(RandVolumeTransform):
    """Bend every slice by a random displacement field, smooth in all directions; all channels alike.

    For each of the first two spatial axes, uniform noise in [-1, 1) on all voxels is smoothed by a Gaussian (cut off
    at 4 standard deviations, zeros outside the volume) and multiplied by `alpha`. The volume is read at the displaced
    places: linear interpolation within the slice, mirrored beyond its edges (half-sample reflection). The third axis
    is never displaced, but the field varies smoothly along it. At the defaults displacements have a standard deviation
    of 3.8 voxels far from the faces and less near them: of 64 x 64 x 32 voxels 3.2, of 160 x 160 x 160 3.7.

    Args:
        alpha: factor of the smoothed noise, voxels; 0 displaces nothing.
        sigma: standard deviation of the Gaussian along all spatial axes, voxels.
        prob: probability that anything is done.

    Raises:
        ValueError: `alpha` negative, `sigma` not positive, or one of them not finite.
        VolumeError: (on call) not (C, *spatial), empty, not floating point, or not finite.

    References:
        Haghighi et al., Learning semantics-enriched representation via self-discovery, self-classification, and
        self-restoration (Semantic Genesis), MICCAI 2020, arXiv 2007.06959, section 2, and the elastic step of its
        released program, which the paper does not describe.

    Notes:
        The published program fails where a slice has other than as many rows as columns; here any sides will do.
        The defaults are for volumes. In 2D less noise is averaged, and alpha=991 displaces by 20 voxels far from the
        edges; alpha=170, by 3.5, is near the spread of a volume.
        Places are computed in single precision, so results on two devices differ by about 1e-5 of the intensity
        range. Where TF32 is allowed for matrix products on a GPU, they differ by more.
    """

    params: InPlaneElasticParams

    def __init__(self, alpha: float = 991.0, sigma: float = 8.0, *, prob: float = 1.0) -> None:
        super().__init__(prob)
        if not (np.isfinite(alpha) and alpha >= 0):
            raise ValueError(
                f"alpha: must be a finite number of at least 0; found {alpha}. Give 0 to displace nothing."
            )
        if not (np.isfinite(sigma) and sigma > 0):
            raise ValueError(f"sigma: must be a finite number above 0; found {sigma}. Give it in voxels, as 8.0.")
        self.alpha, self.sigma = float(alpha), float(sigma)

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> InPlaneElasticParams:
        return InPlaneElasticParams(draw_seeds(rng, shape[0]), tuple(shape[2:]), self.alpha, self.sigma)

    def apply(self, volume: torch.Tensor, params: InPlaneElasticParams) -> torch.Tensor:
        check_shape(params, volume, len(params.seeds), params.spatial_shape)
        return warp_in_plane(volume, params.seeds, params.alpha, params.sigma)


class RandInPlaneElasticd(RandVolumeTransformd):
    """Dictionary form of `RandInPlaneElastic`; the same field for all keys."""

    array = RandInPlaneElastic


class BatchedInPlaneElastic(BatchedVolumeTransform):
    """Batched form of `RandInPlaneElastic`."""

    array = RandInPlaneElastic
    params: InPlaneElasticParams
