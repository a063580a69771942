"""The standard grid: one rule of orientation, spacing and intensity for pre-training, fine-tuning and inference."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from monai.transforms import Compose, MapTransform

from medgenesis.data.checks import CheckClassesd, CheckLabeld, CheckVolumed
from medgenesis.data.image_channels import CheckChannelsd
from medgenesis.data.intensity import ScaleIntensityPresetd, preset_options
from medgenesis.data.label_layers import JoinLabelLayersd
from medgenesis.data.labels import MergeLabelsd
from medgenesis.data.orientation import LimitImageSized, ReorientVolumesd, ResampleSpacingd
from medgenesis.errors import DatalistError, IntensityRangeError, VolumeError
from medgenesis.io.volume_reader import LoadVolumed
from medgenesis.renamed import renamed_arguments

_AXIS_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))


class Preprocessing(Compose):
    """A `Compose` whose errors are those of its steps.

    MONAI's says "applying transform …" where the cause, the file that is to blame, is what the user needs to know.

    Args:
        transforms: the steps.
        maker: makes such steps again, with other arguments where it is given some; None: nobody asks for that.
    """

    def __init__(self, transforms: Sequence[Callable], maker: Callable[..., "Preprocessing"] | None = None) -> None:
        super().__init__(transforms)
        self.maker = maker

    def with_labels(self, label_merge: Mapping[int | str, Any] | None = None) -> "Preprocessing":
        """The same steps for images that have label maps, under the key `label`.

        Raises:
            ValueError: what made the steps is not known.
        """
        if self.maker is None:
            raise ValueError(
                "preprocessing: must be made by `medgenesis.data.preprocessing` (or nnU-Net's); found steps of one's "
                "own. Give those of images with label maps."
            )
        return self.maker(label_keys="label", label_merge=label_merge)

    def __call__(self, *args, **kwargs) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except RuntimeError as error:
            cause = find_domain_error(error)
            if cause is None:
                raise
            raise cause from None


def find_domain_error(error: BaseException | None) -> VolumeError | IntensityRangeError | DatalistError | None:
    """The error of this domain among an error and its causes, under MONAI's "applying transform …" for example."""
    while error is not None and not isinstance(error, (VolumeError, IntensityRangeError, DatalistError)):
        error = error.__cause__
    return error


@renamed_arguments(picture_side="max_image_side")
def preprocessing(
    keys: str | Sequence[str] = ("image",),
    label_keys: str | Sequence[str] = (),
    intensity: str | Mapping[str, Any] | None = "ct",
    spacing_mm: float | Sequence[float] | None = None,
    orientation: str = "LPS",
    label_merge: Mapping[int | str, Any] | None = None,
    num_classes: int | None = None,
    allow_missing_keys: bool = False,
    max_image_side: int | None = None,
    in_channels: int | None = None,
    resample_labels: bool = True,
) -> Preprocessing:
    """The steps from file names to volumes that cubes are cut from, alike for every task.

    The rule: a volume is turned, by whole axes, so that its first axis grows to the patient's left, the second to the
    back, the third to the head (`LPS`, how the published cubes and weights see a scan); the spacing stays as it is
    unless `spacing_mm` is given, then images are resampled linearly and label maps by the nearest voxel. NumPy files,
    which have no geometry, count as LPS at 1 mm. The result is float32, channel first (C, X, Y, Z): a fourth axis of
    the file is the channel, one of length 1 gives a single channel.

    An image (PNG, JPEG, TIFF, BMP, a DICOM radiograph) stays flat: (1, X, Y), X to the right and Y downwards as it is
    looked at, at 1 mm a pixel whatever `spacing_mm` says. One list may hold images and volumes.

    Args:
        keys: keys of the images.
        label_keys: keys of the label maps; they must lie on the grid of the first image (without images, of the first
            label map).
        intensity: preset of `ScaleIntensityPresetd`, or its arguments (`{"preset": "custom", "a_min": 0, "a_max":
            255}`), or None to keep the values. A record's own `intensity` goes before it (but for None).
        spacing_mm: voxel size of the result in mm, for all axes or for each of the three; None keeps the volume's own.
        orientation: axis codes as in nibabel: where each axis grows to.
        label_merge: target label -> source labels, e.g. `{1: "10-14"}`; everything else becomes background.
        num_classes: labels (after merging) must be below it; None takes any.
        allow_missing_keys: pass over keys that a record lacks.
        max_image_side: shrink larger images so that their longer side has so many pixels; None keeps all. A cached
            X-ray of 1024 x 1024 takes 4 MiB, of 512 x 512 1 MiB, and the latter's random crops (a fifth of the area,
            shown at 224 x 224) lose nothing; cells of an X-ray (Adam from level 2 on) are small, and need all that it
            has.
        in_channels: an image must have so many channels; None takes any.
        resample_labels: False leaves label maps at the spacing and size that they have (oriented all the same), to be
            compared with answers that are brought back to it.

    Returns:
        A MONAI `Compose`, invertible by `Invertd` (orientation and spacing), picklable, for cached data sets.

    Raises:
        ValueError: `spacing_mm` of another number of axes.
        VolumeError: when called, for a file that cannot be used.
        DatalistError: when called, for a record that lacks a key.
        IntensityRangeError: when called, for values that do not fit the preset.
    """
    maker = partial(preprocessing, **locals())
    keys, label_keys = _as_tuple(keys), _as_tuple(label_keys)
    every = (*keys, *label_keys)
    lenient = {"allow_missing_keys": allow_missing_keys}
    steps: list[MapTransform] = [
        LoadVolumed(every, label_keys=label_keys, **lenient),
        *([JoinLabelLayersd(label_keys, **lenient)] if label_keys else []),
        *([] if in_channels is None else [CheckChannelsd(keys, in_channels, **lenient)]),
        CheckVolumed(every, **lenient),
        ReorientVolumesd(every, axcodes=orientation, labels=_AXIS_LABELS, allow_missing_keys=True),
    ]
    if label_keys:
        steps.append(CheckLabeld(label_keys, image_key=every[0], **lenient))
    if label_keys and label_merge:
        steps.append(MergeLabelsd(label_keys, label_merge, **lenient))
    if label_keys and num_classes is not None:
        steps.append(CheckClassesd(label_keys, num_classes, **lenient))
    modes = ["bilinear"] * len(keys) + (["nearest"] * len(label_keys) if resample_labels else [])
    resampled = every if resample_labels else keys
    if spacing_mm is not None:
        if np.shape(spacing_mm) not in ((), (1,), (3,)):
            raise ValueError(
                f"spacing_mm: must be one number, or one for each of three axes; found {spacing_mm}. Write "
                "[1, 1, 2.5], for example."
            )
        pixdim = np.broadcast_to(spacing_mm, 3).tolist()
        steps.append(ResampleSpacingd(resampled, pixdim=pixdim, mode=modes, dtype=np.float32, allow_missing_keys=True))
    if max_image_side is not None:
        steps.append(LimitImageSized(resampled, max_image_side, mode=modes, **lenient))
    if intensity is not None:
        steps.append(ScaleIntensityPresetd(keys, **preset_options(intensity), **lenient))
    return Preprocessing(steps, maker)


def _as_tuple(keys: str | Sequence[str]) -> tuple[str, ...]:
    return (keys,) if isinstance(keys, str) else tuple(keys)
