"""The standard grid: one rule of orientation, spacing and intensity for pre-training, fine-tuning and inference."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from monai.transforms import Compose, MapTransform, Orientationd, Spacingd

from medgenesis.data.checks import CheckClassesd, CheckLabeld, CheckVolumed
from medgenesis.data.intensity import ScaleIntensityPresetd
from medgenesis.data.labels import MergeLabelsd
from medgenesis.data.loading import LoadVolumed
from medgenesis.errors import DatalistError, IntensityRangeError, VolumeError

_AXIS_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))


class Preprocessing(Compose):
    """A `Compose` whose errors are those of its steps.

    MONAI's says "applying transform …" where the cause, the file that is to blame, is what the user needs to know.
    """

    def __call__(self, *args, **kwargs) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except RuntimeError as error:
            cause = find_domain_error(error)
            if cause is None:
                raise
            raise cause from None


def find_domain_error(error: BaseException | None) -> VolumeError | IntensityRangeError | DatalistError | None:
    """The error of this domain among an error and its causes, under MONAI's "applying transform …" say."""
    while error is not None and not isinstance(error, (VolumeError, IntensityRangeError, DatalistError)):
        error = error.__cause__
    return error


class ResampleSpacingd(Spacingd):
    """MONAI's `Spacingd`, shown its own keys only.

    From 1.6.0 on it fails on records with other keys that begin alike: MONAI Label puts `image_path` beside `image`.
    """

    def __call__(self, data: Mapping[str, Any], lazy: bool | None = None) -> dict[str, Any]:
        own = {key: data[key] for key in self.keys if key in data}
        return {**data, **super().__call__(own, lazy)}


def preprocessing(
    keys: str | Sequence[str] = ("image",),
    label_keys: str | Sequence[str] = (),
    intensity: str | Mapping[str, Any] | None = "ct",
    spacing_mm: float | Sequence[float] | None = None,
    orientation: str = "LPS",
    label_merge: Mapping[int | str, Any] | None = None,
    num_classes: int | None = None,
    allow_missing_keys: bool = False,
) -> Preprocessing:
    """The steps from file names to volumes that cubes are cut from, alike for every task.

    The rule: a volume is turned, by whole axes, so that its first axis grows to the patient's left, the second to the
    back, the third to the head (`LPS`, how the published cubes and weights see a scan); the spacing stays as it is
    unless `spacing_mm` is given, then images are resampled linearly and label maps by the nearest voxel. Files
    without geometry (NumPy, pictures) count as LPS at 1 mm. The result is float32, channel first (C, X, Y, Z): a
    fourth axis of the file is the channel, one of length 1 gives a single channel.

    Args:
        keys: keys of the images.
        label_keys: keys of the label maps; they must lie on the grid of the first image.
        intensity: preset of `ScaleIntensityPresetd`, or its arguments (`{"preset": "custom", "a_min": 0, "a_max":
            255}`), or None to keep the values.
        spacing_mm: voxel size of the result in mm, for all axes or for each; None keeps the volume's own.
        orientation: axis codes as in nibabel: where each axis grows to.
        label_merge: target label -> source labels, e.g. `{1: "10-14"}`; everything else becomes background.
        num_classes: labels (after merging) must be below it; None takes any.
        allow_missing_keys: pass over keys that a record lacks.

    Returns:
        A MONAI `Compose`, invertible by `Invertd` (orientation and spacing), picklable, for cached data sets.

    Raises:
        VolumeError: when called, for a file that cannot be used.
        DatalistError: when called, for a record that lacks a key.
        IntensityRangeError: when called, for values that do not fit the preset.
    """
    keys, label_keys = _as_tuple(keys), _as_tuple(label_keys)
    every = (*keys, *label_keys)
    lenient = {"allow_missing_keys": allow_missing_keys}
    steps: list[MapTransform] = [
        LoadVolumed(every, **lenient),
        CheckVolumed(every, **lenient),
        Orientationd(every, axcodes=orientation, labels=_AXIS_LABELS, **lenient),
    ]
    if label_keys:
        steps.append(CheckLabeld(label_keys, image_key=keys[0], **lenient))
    if label_keys and label_merge:
        steps.append(MergeLabelsd(label_keys, label_merge, **lenient))
    if label_keys and num_classes is not None:
        steps.append(CheckClassesd(label_keys, num_classes, **lenient))
    if spacing_mm is not None:
        modes = ["bilinear"] * len(keys) + ["nearest"] * len(label_keys)
        pixdim = np.broadcast_to(spacing_mm, 3).tolist()
        steps.append(ResampleSpacingd(every, pixdim=pixdim, mode=modes, dtype=np.float32, **lenient))
    if intensity is not None:
        options = {"preset": intensity} if isinstance(intensity, str) else dict(intensity)
        steps.append(ScaleIntensityPresetd(keys, **options, **lenient))
    return Preprocessing(steps)


def _as_tuple(keys: str | Sequence[str]) -> tuple[str, ...]:
    return (keys,) if isinstance(keys, str) else tuple(keys)
