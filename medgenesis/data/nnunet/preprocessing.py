"""From files to what nnU-Net's network sees: its preprocessing by the plans, or its preprocessed arrays as they are."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import CropForegroundd, MapTransform, Orientationd
from monai.utils import MetaKeys

from medgenesis.data.checks import CheckClassesd, CheckLabeld, CheckVolumed
from medgenesis.data.label_layers import JoinLabelLayersd
from medgenesis.data.labels import MergeLabelsd
from medgenesis.data.nnunet.normalisation import NormaliseAsPlannedd, check_planned_channels
from medgenesis.data.nnunet.resampling import ResampleAsPlannedd
from medgenesis.data.pipeline import Preprocessing
from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name
from medgenesis.io.volume_reader import LoadVolumed

_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))
_ARRAY_AXES = (2, 1, 0)
_ARRAYS = (".b2nd", ".npz", ".npy")


def nnunet_preprocessing(
    plan: Mapping[str, Any],
    keys: str | Sequence[str] = ("image",),
    label_keys: str | Sequence[str] = (),
    *,
    label_merge: Mapping[int | str, Any] | None = None,
    num_classes: int | None = None,
    allow_missing_keys: bool = False,
    in_channels: int | None = None,
    resample_labels: bool = True,
) -> Preprocessing:
    """The steps from file names to volumes, as `medgenesis.data.preprocessing`, but those of nnU-Net.

    Files with geometry (NIfTI, NRRD, MetaImage) go through nnU-Net's steps: axes in its order, a box round what is not
    zero, normalisation, spacing. Arrays (`.b2nd`, `.npz`, `.npy`) are what nnU-Net's preprocessing wrote, and are
    taken as they are, on a grid of the plan's spacing and axes. Results are float32 (C, *spatial), in nnU-Net's order
    of axes.

    Args:
        plan: see `plan_of`.
        keys: keys of the images.
        label_keys: keys of the label maps, on the grid of the first image.
        label_merge: target label -> source labels; everything else becomes background.
        num_classes: labels (after merging) must be below it; None takes any.
        allow_missing_keys: pass over keys that a record lacks.
        in_channels: of the network; they must be as many as the plan's.
        resample_labels: False leaves label maps at the spacing and size that they have (axes in order all the same), to
            be compared with answers that are brought back to them.

    Returns:
        A MONAI `Compose`, invertible by `Invertd`.

    Raises:
        ValueError: `in_channels` are not those of the plan.
        VolumeError: when called, for a file that cannot be used.
        DatalistError: when called, for a record that lacks a key.
    """
    maker = partial(nnunet_preprocessing, **locals())
    planned = len(plan["channels"])
    if in_channels not in (None, planned):
        raise ValueError(
            f"in_channels: must be the channels of the plans, {planned}; found {in_channels}. Leave it out, or make a "
            "bundle of plans of other channels (`medgenesis nnunet plan2bundle`)."
        )
    keys = (keys,) if isinstance(keys, str) else tuple(keys)
    label_keys = (label_keys,) if isinstance(label_keys, str) else tuple(label_keys)
    every, lenient = (*keys, *label_keys), {"allow_missing_keys": allow_missing_keys}
    steps: list[MapTransform] = [
        LoadVolumed(every, label_keys=label_keys, **lenient),
        *([JoinLabelLayersd(label_keys, **lenient)] if label_keys else []),
        CheckPlannedChannelsd(keys, plan["channels"], **lenient),
        CheckVolumed(every, **lenient),
        CheckConfigurationd(every, plan.get("data_identifier"), allow_missing_keys=True),
        PlaceArraysd(every, plan["spacing"], plan["axes"]),
        OrderAxesd(every, plan["axes"]),
    ]
    if label_keys:
        steps.append(CheckLabeld(label_keys, image_key=keys[0], **lenient))
    if label_keys and label_merge:
        steps.append(MergeLabelsd(label_keys, label_merge, **lenient))
    if label_keys and num_classes is not None:
        steps.append(CheckClassesd(label_keys, num_classes, **lenient))
    resampled = every if resample_labels else keys
    steps += [
        CropToContentd(resampled, keys[0]),
        NormaliseRawd(keys, plan["channels"], allow_missing_keys=True),
        ResampleRawd(resampled, plan["spacing"], label_keys=label_keys, **plan["resampling"], allow_missing_keys=True),
    ]
    return Preprocessing(steps, maker)


def is_array(volume: torch.Tensor) -> bool:
    """Whether a volume was read from an array, which nnU-Net has preprocessed."""
    return volume_name(volume).lower().endswith(_ARRAYS)


class CheckPlannedChannelsd(MapTransform):
    """Refuse images with another number of channels than the plan's, arrays and files with geometry alike.

    Args:
        keys: keys of the images, (C, *spatial).
        channels: of the plan.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        VolumeError: with the file's name.
    """

    def __init__(
        self, keys: Sequence[str], channels: Sequence[Mapping[str, Any]], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels = channels

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        for key in self.key_iterator(data):
            check_planned_channels(data[key], self.channels)
        return dict(data)


class CheckConfigurationd(MapTransform):
    """Refuse arrays that were preprocessed for another configuration: they lie in a folder of another name.

    Args:
        keys: keys of the volumes.
        identifier: name of the folder, `data_identifier` of the plans; None: not known, all pass.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        VolumeError: with the file's name.
    """

    def __init__(self, keys: Sequence[str], identifier: str | None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.identifier = identifier

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        for key in self.key_iterator(data):
            folder = Path(volume_name(data[key])).parent.name
            if self.identifier and is_array(data[key]) and folder != self.identifier:
                raise VolumeError(
                    f"{volume_name(data[key])}: must be preprocessed for the plans' configuration, in a folder "
                    f"{self.identifier}; found it in {folder}. List that folder (`medgenesis nnunet datalist`), or "
                    "make a bundle of the other configuration."
                )
        return dict(data)


class PlaceArraysd(MapTransform):
    """Give arrays, whose files have no geometry, that of the plan: its spacing, its axes, and the origin at 0.

    Args:
        keys: keys of the volumes, `MetaTensor` (C, *spatial).
        spacing: planned, mm, of each axis of the array.
        axes: as of `OrderAxesd`; of numbers the file's axes are taken to be LPS; None: not known, as (z, y, x).
    """

    def __init__(self, keys: Sequence[str], spacing: Sequence[float], axes: Sequence[int] | str | None) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.spacing, self.axes = tuple(spacing), axes

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        arrays = {key: data[key] for key in self.key_iterator(data) if is_array(data[key])}
        return {**data, **{key: self._placed(volume) for key, volume in arrays.items()}}

    def _placed(self, volume: MetaTensor) -> MetaTensor:
        result = volume.as_tensor().as_subclass(MetaTensor).copy_meta_from(volume)
        result.affine = torch.from_numpy(self._directions() @ np.diag([*self.spacing, 1.0]))
        result.meta[MetaKeys.ORIGINAL_AFFINE] = result.affine.clone()  # voxels are where the file has them
        return result

    def _directions(self) -> np.ndarray:
        codes = self.axes if isinstance(self.axes, str) else "".join("LPS"[axis] for axis in self.axes or _ARRAY_AXES)
        axes, signs = nibabel.orientations.axcodes2ornt(codes).T
        return np.eye(4)[:, [*axes.astype(int), 3]] * [*signs, 1]


class _OnRaw(MapTransform):
    """What a transform of nnU-Net's preprocessing does to arrays that have gone through it already: nothing."""

    def __call__(self, data: Mapping[str, Any], *args: Any, **named: Any) -> dict[str, Any]:
        own = self._own(data)
        return {**data, **super().__call__(own, *args, **named)} if own else dict(data)  # type: ignore[misc]

    def inverse(self, data: Mapping[str, Any]) -> dict[str, Any]:
        own = self._own(data)
        return {**data, **super().inverse(own)} if own else dict(data)  # type: ignore[misc]

    def _own(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {key: data[key] for key in self.keys if key in data and not is_array(data[key])}


class OrderAxesd(_OnRaw, Orientationd):
    """Bring axes into nnU-Net's order: those of the file, not reversed, or, by codes, turned as in `Orientationd`.

    Args:
        keys: keys of the volumes.
        axes: axes of the file in the order of the result, `[2, 1, 0]`; or codes, `SAR`; None: not known, an error.

    Raises:
        VolumeError: (when called) axes that are not known.
    """

    def __init__(self, keys: Sequence[str], axes: Sequence[int] | str | None) -> None:
        super().__init__(
            keys, axcodes=axes if isinstance(axes, str) else "LPS", labels=_LABELS, allow_missing_keys=True
        )
        self.axes = axes

    def __call__(self, data: Mapping[str, Any], lazy: bool | None = None) -> dict[str, Any]:
        own = self._own(data)
        if isinstance(self.axes, str):
            return super().__call__(data, lazy)
        return {**data, **{key: self._ordered(volume) for key, volume in own.items()}}

    def inverse(self, data: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(self.axes, str):
            return super().inverse(data)
        return {**data, **{key: self._as_stored(volume) for key, volume in self._own(data).items()}}

    def _ordered(self, volume: MetaTensor) -> MetaTensor:
        if self.axes is None:
            raise VolumeError(
                f"{volume_name(volume)}: must be an array that nnU-Net has preprocessed; found an image, and how "
                "nnU-Net reads images of this data set is not known here. Give the folder nnUNet_preprocessed."
            )
        result = _permuted(volume, self.axes)
        self.push_transform(result)
        return result

    def _as_stored(self, volume: MetaTensor) -> MetaTensor:
        self.pop_transform(volume)
        return _permuted(volume, [list(self.axes or ()).index(axis) for axis in range(3)])


def _permuted(volume: MetaTensor, axes: Sequence[int]) -> MetaTensor:
    result = volume.permute(0, *(axis + 1 for axis in axes)).contiguous()
    result.affine = volume.affine[:, [*axes, 3]]
    return result


class CropToContentd(_OnRaw, CropForegroundd):
    """Crop to the box round what is not zero in any channel of the image, as nnU-Net does before it normalises.

    Args:
        keys: keys of the volumes.
        source_key: key of the image.

    Raises:
        VolumeError: (when called) an image of zeros.
    """

    def __init__(self, keys: Sequence[str], source_key: str) -> None:
        super().__init__(
            keys,
            source_key,
            select_fn=_is_not_zero,
            allow_smaller=True,
            start_coord_key=None,
            end_coord_key=None,
            allow_missing_keys=True,
        )

    def __call__(self, data: Mapping[str, Any], lazy: bool | None = None) -> dict[str, Any]:
        image = data.get(self.source_key)
        if image is not None and not bool((image != 0).any()):
            raise VolumeError(f"{volume_name(image)}: must have voxels other than 0; found none. Leave the file out.")
        return super().__call__(data, lazy)


class NormaliseRawd(_OnRaw, NormaliseAsPlannedd):
    """`NormaliseAsPlannedd` of images that are no preprocessed arrays."""


class ResampleRawd(_OnRaw, ResampleAsPlannedd):
    """`ResampleAsPlannedd` of volumes that are no preprocessed arrays."""


def _is_not_zero(volume: torch.Tensor) -> torch.Tensor:
    return volume != 0
