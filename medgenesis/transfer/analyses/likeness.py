"""How alike two images are, pixel by pixel and by structure."""

import numpy as np
from skimage.metrics import structural_similarity

_WINDOW = 7


def likeness(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Mean squared error and SSIM of two images or volumes.

    Args:
        one: (C, *spatial) in [0, 1].
        other: likewise, of the same shape.

    Returns:
        `mse`; `ssim`, of windows of 7 a side, the mean over channels; 1 of equal images.

    Raises:
        ValueError: other shapes, or a side below 3.

    References:
        Wang et al., Image quality assessment, IEEE Trans. Image Process. 13 (2004); scikit-image.
    """
    if one.shape != other.shape or min(one.shape[1:]) < 3:
        raise ValueError(
            f"images: must be of one shape with sides of 3 or more; found {one.shape} and {other.shape}. Resize them."
        )
    least = min(one.shape[1:])
    window = min(_WINDOW, least if least % 2 else least - 1)
    options = {"win_size": window, "channel_axis": 0, "data_range": 1.0}
    one, other = one.astype(np.float64), other.astype(np.float64)
    similarity = structural_similarity(one, other, **options)
    return {"mse": float(np.mean((one - other) ** 2)), "ssim": float(similarity)}
