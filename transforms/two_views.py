"""Two views of one slab that should mean the same, and the clean crop that the first of them was made from."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from math import radians
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, LazyTrait, MapTransform, RandFlip, Randomizable, RandRotate
from monai.utils import MAX_SEED

from medgenesis.transforms.anatomy_cell import RandAnatomyCelld
from medgenesis.transforms.base import as_volume
from medgenesis.transforms.blur import RandBlur
from medgenesis.transforms.brightness_contrast import RandBrightnessContrast
from medgenesis.transforms.caid_distortion import RandCAiDDistortion
from medgenesis.transforms.cropping import RandCroppingTransform
from medgenesis.transforms.reseeding import Reseeded
from medgenesis.transforms.resized_crop import RandResizedCrop


class RandTwoViewsd(Reseeded, MapTransform):
    """Draw the same chain of transforms twice, each time on the slab as it came: query view and key view.

    The target is the middle slice of the query view as it would be if only its place had changed: of the chain it takes
    the crop (`RandResizedCrop`, `RandAnatomyCell`), with `align_target` also what MONAI has for moving voxels
    (`RandFlip`, `RandRotate`; those that it can do lazily), with the same draw, and nothing else. A `Compose`, `OneOf`,
    `SomeOf` or `RandomOrder` in the chain may hold only what the target does not follow: which of its steps were
    applied, and how, is not known outside. Without a target it may hold anything.

    Args:
        keys: the slab (k, H, W); the query view takes its place.
        view: array transforms, applied in turn. Each view draws anew.
        key_key: where the key view goes.
        target_key: where the target (1, H, W) goes; None for no target.
        align_target: the target follows flips and rotations of the query view.

    Raises:
        ValueError: no view, names that are not all different, or, with a target, a step that the target follows within
            a `Compose` or the like.

    Notes:
        The published CAiD flips the view but not the target, so that for half of the samples the network must mirror
        what it sees without being told; `align_target=False` does so too.
    """

    def __init__(
        self,
        keys: str = "image",
        view: Sequence[Callable] = (),
        *,
        key_key: str = "key",
        target_key: str | None = None,
        align_target: bool = True,
    ) -> None:
        super().__init__(keys)
        names = (*self.keys, key_key, *([] if target_key is None else [target_key]))
        if len(self.keys) != 1 or len(set(names)) != len(names):
            raise ValueError(
                f"keys: must be one name, and key_key and target_key other ones; found {self.keys}, {key_key!r} and "
                f"{target_key!r}. Give three names."
            )
        if not view:
            raise ValueError(
                "view: must name the transforms that make a view; found none. Take caid_views or adam_views."
            )
        self.view = Compose(view)
        self.key_key, self.target_key = key_key, target_key
        self.followed = (RandCroppingTransform, LazyTrait) if align_target else (RandCroppingTransform,)
        if target_key is not None:
            self._check_containers()

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None):
        super().set_random_state(seed, state)
        self.view.set_random_state(seed=self.R.randint(MAX_SEED, dtype="uint32"))
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        slab = result[self.keys[0]]
        result[self.keys[0]], clean = self._draw(slab, with_clean=self.target_key is not None)
        result[self.key_key], _ = self._draw(slab)
        if self.target_key is not None:
            middle = len(clean) // 2
            clean = as_volume(clean)[middle : middle + 1]
            result[self.target_key] = clean.clone()  # not a part of the view, and not all slices
        return result

    def _draw(self, slab: torch.Tensor, with_clean: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """A view, and, where asked, what it would be by the steps alone that the target follows."""
        view = clean = slab
        for step in self.view.transforms:
            untouched, view = view is clean, step(view)
            if with_clean and self._follows(step):
                replay = {"randomize": False} if isinstance(step, Randomizable) else {}
                clean = view if untouched else step(clean, **replay)
        return view, clean

    def _follows(self, step: Callable) -> bool:
        return isinstance(step, self.followed) and not isinstance(step, Compose)  # which is a LazyTrait as well

    def _check_containers(self) -> None:
        for step in self.view.transforms:
            for part in _within(step) if isinstance(step, Compose) else ():
                if self._follows(part):
                    raise ValueError(
                        f"view: must not hide steps that the target follows; found {type(part).__name__} within "
                        f"{type(step).__name__}, of which the target would not know whether and how it was applied. "
                        "Name it in `view` itself, or leave target_key out."
                    )


def _within(container: Compose) -> Iterator[Callable]:
    """What it holds, at any depth."""
    for step in container.transforms:
        yield from _within(step) if isinstance(step, Compose) else (step,)


class _RandTurn(RandRotate):
    """MONAI's, which computes and answers in single precision, with the dtype of what comes in."""

    def __call__(self, img: torch.Tensor, *args: Any, **named: Any) -> torch.Tensor:
        return super().__call__(img, *args, **named).to(img.dtype)


def caid_views(
    size: int = 224,
    *,
    mode: str = "caid",
    scale: tuple[float, float] = (0.2, 1.0),
    least_side: int = 32,
    align_target: bool = True,
    keys: str = "image",
    key_key: str = "key",
    target_key: str = "target",
) -> RandTwoViewsd:
    """The views of CAiD: resized crop, brightness and contrast (0.8), blur (0.5), left-right flip (0.5), distortion.

    Args:
        size: side of a view, pixels; at least 81 in mode "caid".
        mode: "caid", or "id": instance discrimination alone, without distortion and target.
        scale: least and greatest share of a crop.
        least_side: of a slab, pixels.
        align_target: see `RandTwoViewsd`.
        keys: the slab (k, H, W) in [0, 1].
        key_key: where the key view goes.
        target_key: where the clean query crop goes.

    Raises:
        ValueError: another mode, or a size that the distortion refuses.

    References:
        Hosseinzadeh Taher et al., CAiD, MIDL 2022, section 2 and its released program.

    Notes:
        There is no normalisation by mean and standard deviation, as published. The blur's width in pixels is that
        for 224 at every size.
    """
    if mode not in ("caid", "id"):
        raise ValueError(f'mode: must be "caid" or "id"; found {mode!r}. Choose one of them.')
    crop = RandResizedCrop(size, scale, least_side=least_side)
    view = [crop, RandBrightnessContrast(), RandBlur(), RandFlip(0.5, spatial_axis=1)]
    if mode == "id":
        return RandTwoViewsd(keys, view, key_key=key_key)
    distortion = RandCAiDDistortion()
    if size < distortion.least_side:
        raise ValueError(
            f'size: must be at least {distortion.least_side} in mode "caid"; found {size}. Give larger views.'
        )
    return RandTwoViewsd(keys, [*view, distortion], key_key=key_key, target_key=target_key, align_target=align_target)


def adam_views(
    size: int = 224,
    *,
    level: int = 0,
    grid: str = "binary",
    scale: tuple[float, float] = (0.2, 1.0),
    least_side: int = 32,
    anywhere: bool = False,
    keys: str = "image",
    key_key: str = "key",
) -> Compose:
    """The views of Adam, of one anatomy cell: resized crop, brightness and contrast (0.8), blur (0.5), rotation.

    The rotation is by up to 30 degrees either way, nearest voxel, in single precision, corners black. There is no flip:
    left stays left.

    Args:
        size: side of a view, pixels.
        level: see `RandAnatomyCell`; Adam is trained at 0, 2 and 4 in turn.
        grid: see `RandAnatomyCell`.
        scale: least and greatest share of a crop.
        least_side: of a cell, pixels.
        anywhere: see `RandAnatomyCell`.
        keys: the slab (k, H, W) in [0, 1].
        key_key: where the key view goes.

    References:
        Hosseinzadeh Taher et al., Adam, DART 2023, arXiv 2309.15358, section 2 and its released program.

    Notes:
        The published views end with ImageNet's mean and standard deviation. Here that is the network's first step,
        `ResNet25D(input_normalisation="imagenet")`. The blur's width in pixels is that for 224 at every size.
    """
    angle = radians(30)
    turn = _RandTurn(angle, prob=1.0, mode="nearest", padding_mode="zeros", keep_size=True, dtype=torch.float32)
    view = [RandResizedCrop(size, scale), RandBrightnessContrast(), RandBlur(), turn]
    cell = RandAnatomyCelld(keys, level, grid, least_side=least_side, anywhere=anywhere)
    return Compose([cell, RandTwoViewsd(keys, view, key_key=key_key)])
