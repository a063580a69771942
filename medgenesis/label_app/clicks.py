"""A segmentation corrected by clicks: each decides its neighbourhood of like intensity.

A guidance map, as interactive networks are given one (Wang et al., IEEE TMI 37(7), 2018; Sakinis et al., 2019), but
applied to the probabilities themselves: it needs no training, and works with any model of the history. A network that
was trained with clicks (`GuidedSupervised`) is given them instead.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from medgenesis.errors import VolumeError
from medgenesis.label_app.scribbles import windowed

Clicks = Mapping[int, Sequence[Sequence[float]]]  # class -> voxels that belong to it

REACH_MM = 10.0  # standard deviation of a click's influence in space
LIKENESS = 0.1  # and in intensity, as a share of the window (percentiles 1 to 99)


def apply_clicks(
    image: np.ndarray,
    probabilities: np.ndarray,
    clicks: Clicks,
    spacing_mm: Sequence[float],
) -> np.ndarray:
    """Correct a segmentation.

    Args:
        image: intensities (x, y, z).
        probabilities: of the classes, background first, (classes, x, y, z).
        clicks: class -> voxels that belong to it.
        spacing_mm: of the voxels.

    Returns:
        Values of the classes (x, y, z); a clicked voxel has its class, of several the one that comes last in `clicks`.

    Raises:
        VolumeError: as `places_of`.
    """
    found = np.array(probabilities, np.float32)
    scaled = windowed(image)
    reaches = [int(np.ceil(3 * REACH_MM / one)) for one in spacing_mm]
    for value, place in places_of(clicks, image.shape):
        box = tuple(
            slice(max(0, at - reach), min(side, at + reach + 1))
            for at, side, reach in zip(place, image.shape, reaches, strict=True)
        )
        offsets = np.ogrid[box]
        far = sum(((own - at) * one) ** 2 for own, at, one in zip(offsets, place, spacing_mm, strict=True))
        weight = np.exp(-far / (2 * REACH_MM**2) - (scaled[box] - scaled[place]) ** 2 / (2 * LIKENESS**2))
        found[(slice(None), *box)] *= 1 - weight
        found[(value, *box)] += weight
    return obey(found.argmax(0), clicks)


def obey(answer: np.ndarray, clicks: Clicks) -> np.ndarray:
    """The same values of classes, but for the clicked voxels, which have theirs."""
    answer = answer.copy()
    for value, place in places_of(clicks, answer.shape):
        answer[place] = value
    return answer


def places_of(clicks: Clicks, shape: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
    """Class and voxel of each click.

    Raises:
        VolumeError: a click outside of the image.
    """
    places = [(value, tuple(int(round(one)) for one in place)) for value, own in clicks.items() for place in own]
    for _, place in places:
        if len(place) != len(shape) or not all(0 <= at < side for at, side in zip(place, shape, strict=True)):
            raise VolumeError(f"clicks: must lie in the image, {tuple(shape)} voxels; found {place}. Click again.")
    return places
