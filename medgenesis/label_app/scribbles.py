"""A segmentation corrected by scribbles: graph cut, with the model's probabilities where there is a model.

References:
    Wang et al. Interactive medical image segmentation using deep learning with image-specific fine tuning. IEEE TMI
    37(7), 2018: the unary term, which scribbles overrule; the pairwise term falls with the difference of intensities.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medgenesis.errors import VolumeError
from medgenesis.label_app.labels import entries_of, number_of

BACKGROUND, FOREGROUND = "background_scribbles", "foreground_scribbles"
LAMBDA, SIGMA = (
    1.0,
    0.1,
)  # of MONAI Label: weight of the pairwise term; difference of intensities, of the window's range
_MOST = 8_000_000  # voxels of a graph; it takes about 100 bytes of each
_BINS = 64


def scribble_values(label_info: Sequence[Mapping[str, Any]] | None, number: int) -> tuple[int, int]:
    """Values of background and foreground scribbles, as viewers say them, else those behind the labels.

    Args:
        label_info: `[{"name": "background_scribbles", "id": 3}, …]`, the value as `id` or as `idx`.
        number: of labels in the app.

    Raises:
        VolumeError: it cannot be read, or scribbles are named without a value.
    """
    named = (one for one in entries_of(label_info) if one.get("name") in (BACKGROUND, FOREGROUND))
    said = {one["name"]: number_of(one) for one in named}
    return said.get(BACKGROUND, number + 1), said.get(FOREGROUND, number + 2)


def refine(
    image: np.ndarray,
    background: np.ndarray,
    foreground: np.ndarray,
    probability: np.ndarray | None = None,
    roi: Sequence[int] | None = None,
) -> np.ndarray:
    """Cut the foreground out.

    Args:
        image: intensities (x, y, z), or (x, y) of a flat image.
        background: True where a person has scribbled background.
        foreground: likewise.
        probability: of the foreground by a model, in [0, 1]; None: by the intensities below the scribbles.
        roi: begin and end along each axis, outside of which all is background; of a flat image more may follow.

    Returns:
        True for foreground; scribbles are obeyed.

    Raises:
        VolumeError: nothing to go by, or too large a region.
    """
    import numpymaxflow

    shape, where = image.shape, _region(image.shape, roi)
    size = int(np.prod([part.stop - part.start for part in where]))
    if size > _MOST:
        raise VolumeError(
            f"roi: the region must have at most {_MOST} voxels; found {size}. Draw a region of interest around the "
            "structure."
        )
    image, background, foreground = image[where].astype(np.float32), background[where], foreground[where]
    if not foreground.any() and probability is None:
        raise VolumeError(
            "scribbles: must mark the structure where there is no model; found no foreground scribble. Scribble in it."
        )
    scaled = windowed(image)
    found = _by_intensity(scaled, background, foreground) if probability is None else probability[where]
    found = np.clip(np.where(foreground, 1, np.where(background, 0, found)), 1e-6, 1 - 1e-6)
    unary = np.stack([1 - found, found]).astype(np.float32)
    cut = numpymaxflow.maxflow(scaled[None].astype(np.float32), unary, LAMBDA, SIGMA)[0] > 0.5
    result = np.zeros(shape, bool)
    result[where] = (cut | foreground) & ~background
    return result


def windowed(image: np.ndarray) -> np.ndarray:
    """Intensities in [0, 1]: percentiles 1 to 99."""
    low, high = np.percentile(image, (1, 99))
    return np.clip((image - low) / max(high - low, 1e-6), 0, 1)


def _region(shape: Sequence[int], roi: Sequence[int] | None) -> tuple[slice, ...]:
    """The region of interest, within the volume; all of it where none is given."""
    if not roi:
        return tuple(slice(0, side) for side in shape)
    if len(roi) < 2 * len(shape):
        raise VolumeError(
            f"roi: must have a begin and an end along each of {len(shape)} axes; found {list(roi)}. Draw it again."
        )
    ends = np.array([int(value) for value in roi[: 2 * len(shape)]]).reshape(-1, 2)
    begin, end = np.clip(ends.min(1), 0, None), np.minimum(ends.max(1), shape)
    if (end <= begin).any():
        raise VolumeError(
            f"roi: must lie within the study, of {tuple(shape)} voxels; found {list(roi)}. Draw it again."
        )
    return tuple(slice(int(a), int(b)) for a, b in zip(begin, end, strict=True))


def _by_intensity(scaled: np.ndarray, background: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Probability of the foreground, from histograms of the intensities below the scribbles, each count one more."""
    bins = np.minimum((scaled * _BINS).astype(int), _BINS - 1)
    marked = background if background.any() else ~foreground
    inside, outside = (np.bincount(bins[mask], minlength=_BINS) + 1.0 for mask in (foreground, marked))
    inside, outside = inside / inside.sum(), outside / outside.sum()
    return (inside / (inside + outside))[bins]
