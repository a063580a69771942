"""What a scanner does to a thorax: a point spread, and noise with a grain."""

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d


def scan(hu: np.ndarray, noise_hu: float, rng: np.random.Generator) -> np.ndarray:
    """Blur by half a voxel, add correlated noise, clip and round.

    Args:
        hu: (X, Y, Z) float32 HU.
        noise_hu: standard deviation of the noise in HU at mid-chest; more at the shoulders.
        rng: source of the noise.

    Returns:
        (X, Y, Z) int16 HU in [-1024, 3071].
    """
    image = gaussian_filter(hu, (0.42, 0.42, 0.3), truncate=3)
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    for axis, sigma in enumerate((0.6, 0.6, 0.4)):
        noise = gaussian_filter1d(noise, sigma, axis, truncate=3)
    along = np.linspace(0, 1, hu.shape[2], dtype=np.float32)
    grain = noise_hu / noise.std() * (1 + 0.6 * np.clip(along - 0.75, 0, 1) * 4)
    image += noise * grain
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)


def texture(shape: tuple[int, ...], voxel_mm: float, grain_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth random field of unit deviation with structures of `grain_mm`, float32."""
    field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), max(grain_mm / voxel_mm, 0.3), truncate=2)
    return field / field.std()
