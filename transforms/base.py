"""What all transforms share: the checks of the input, and the three variants of a kernel.

A transform is what was drawn plus a pure kernel: `sample(rng, shape) -> Params`, `apply(volume, params) -> volume` on
(B, C, *spatial). The variants below add calling conventions and nothing else, so they cannot drift apart.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, Randomizable, RandomizableTransform, Transform
from monai.utils import MetaKeys, TransformBackends, convert_to_tensor

from medgenesis.transforms.checks import check_batch, check_probability, check_range, rescaled
from medgenesis.transforms.params import Generator, Params, joined
from medgenesis.transforms.reseeding import Reseeded

if TYPE_CHECKING:
    from typing_extensions import Self  # of typing from Python 3.11 on


class RandVolumeTransform(Reseeded, RandomizableTransform, ABC):
    """The array face of a transform: (C, *spatial) in, the same out.

    A subclass says how parameters are drawn (`sample`) and what they do (`apply`). What was drawn last stands in
    `params`, of the subclass's own type (None before the first call, and where nothing was done); calling with
    `randomize=False` replays it.

    Args:
        prob: probability that the transform does anything.
        value_range: intensities (low, high) that the data are in; None where intensities do not matter.
        rescale: bring each volume's own least .. greatest value to `value_range`, always, instead of refusing what
            lies outside.
    """

    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]
    batched: "type[BatchedVolumeTransform] | None" = None  # the batched face, where there is one

    def __init__(
        self, prob: float = 1.0, value_range: tuple[float, float] | None = None, rescale: bool = False
    ) -> None:
        super().__init__(check_probability("prob", prob))
        self.value_range = None if value_range is None else check_range(value_range)
        self.rescale = bool(rescale)
        self.params: Params | None = None

    @abstractmethod
    def sample(self, rng: Generator, shape: tuple[int, ...]) -> Params:
        """Draw for a batch of this shape (B, C, *spatial)."""

    @abstractmethod
    def apply(self, volume: torch.Tensor, params: Params) -> torch.Tensor:
        """The kernel: (B, C, *spatial) -> the same, not in place."""

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> "Self":
        """As MONAI's; returns the transform itself, of its own type."""
        super().set_random_state(seed, state)
        return self

    def randomize(self, data: Any) -> None:
        """Decide whether to do anything, and draw for this volume (C, *spatial) if so."""
        super().randomize(None)
        self.params = self.sample(self.R, (1, *data.shape)) if self._do_transform else None

    def checked(self, batch: torch.Tensor, axes: str) -> torch.Tensor:
        """Check a batch (B, C, *spatial), and rescale it where asked."""
        check_batch(batch, axes, None if self.rescale else self.value_range)
        return rescaled(batch, self.value_range) if self.rescale else batch

    def __call__(self, img: Any, randomize: bool = True) -> torch.Tensor:
        volume = as_volume(img)
        batch = self.checked(plain(volume)[None], "C")
        if randomize:
            self.randomize(batch[0])
        elif self._do_transform and self.params is None:
            raise nothing_drawn(self)
        return self.finish(batch, volume)

    def finish(self, batch: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
        """Apply what was drawn to `batch`, the checked form of `volume`, and give it that one's type and meta data."""
        if self.params is not None:
            batch = self.apply(batch, self.params)
        elif not self.rescale:
            return volume
        return like(batch[0], volume)


_PARTS, _LEAST_AT_ONCE = 4, 2**20  # of a batch, but not below so many values: a GPU should have enough to do at once
_WITHOUT_META = MetaTensor(torch.zeros(1, 1, 1, 1))  # what MONAI assumes; made once, as it costs as much as a kernel


def as_volume(img: Any) -> torch.Tensor:
    """A tensor as MONAI's transforms return it: a MetaTensor if meta data are tracked."""
    if type(img) is MetaTensor and get_track_meta():
        return img
    volume = convert_to_tensor(img, track_meta=False)
    if get_track_meta():
        volume = like(volume, _WITHOUT_META)
        volume.meta[MetaKeys.AFFINE] = _WITHOUT_META.affine.clone()  # not one for all, which a user might change
    return volume


def plain(volume: torch.Tensor) -> torch.Tensor:
    """The same without meta data and gradient: no kernel here has one to pass on."""
    return (volume.as_tensor() if isinstance(volume, MetaTensor) else volume).detach()


def like(result: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
    """The result with the type, affine and meta data of `volume`."""
    if not isinstance(volume, MetaTensor):
        return result
    return result.as_subclass(MetaTensor).copy_meta_from(volume)


def nothing_drawn(transform: Transform) -> RuntimeError:
    """The error of a replay without a draw."""
    return RuntimeError(
        f"{type(transform).__name__}: randomize=False needs an earlier draw; found none. Call it once without, or set "
        "its params."
    )


def apply_where(
    active: np.ndarray, part: RandVolumeTransform, batch: torch.Tensor, params: Params, source: torch.Tensor
) -> torch.Tensor:
    """Apply a transform to the cubes of a batch for which `active` (B,) holds, some at a time.

    The batch is changed IN PLACE, unless it is `source`, which stays as it is, or all its cubes are active; it is
    returned itself if there are none.
    """
    cubes = np.flatnonzero(active)
    if len(cubes) == 0:
        return batch
    least = _LEAST_AT_ONCE * len(batch) // batch.numel()
    count = -(-len(cubes) // max(1, least, -(-len(batch) // _PARTS)))
    if count == 1 and len(cubes) == len(active):
        return part.apply(batch, params)
    changed = None if len(cubes) == len(active) else batch.clone() if batch is source else batch
    for some in np.array_split(cubes, count):
        run = some[-1] - some[0] + 1 == len(some)
        where = slice(int(some[0]), int(some[-1]) + 1) if run else torch.from_numpy(some).to(batch.device)
        made = part.apply(batch[where], params.select(some))
        if changed is None:  # a part that crops gives another shape
            changed = made.new_empty((len(batch), *made.shape[1:]))
        changed[where] = made
    return changed


class RandVolumeTransformd(Reseeded, RandomizableTransform, MapTransform):
    """The dictionary face: one draw of the array face, applied to all keys. A subclass names that in `array`.

    Args:
        keys: volumes (C, *spatial) of equal spatial shape.
        settings: those of the array face.
        allow_missing_keys: leave out keys that the data lack, instead of raising KeyError.
    """

    backend = RandVolumeTransform.backend
    array: type[RandVolumeTransform]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = _joined_signature(cls, cls.array)

    def __init__(self, keys: KeysCollection, *settings: Any, allow_missing_keys: bool = False, **named: Any) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, 1.0)
        self.transform = self.array(*settings, **named)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> "Self":
        super().set_random_state(seed, state)
        self.transform.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        randomize = True
        for key in self.key_iterator(result):
            result[key] = self.transform(result[key], randomize=randomize)
            randomize = False
        return result

    def on_batch(self, batch: Mapping[Hashable, Any], seeds: Sequence[int]) -> dict[Hashable, Any]:
        """Collated samples, (B, C, *spatial) on any device, as `set_random_state(seed)` and a call would make each.

        Args:
            batch: what samples of equal shapes collate to.
            seeds: one a sample; what is drawn for a sample does not depend on the others.
        """
        result = dict(batch)
        for key, drawn in self.drawn(result, seeds):
            result[key] = drawn(result[key], randomize=False)
        return result

    def drawn(
        self, batch: Mapping[Hashable, Any], seeds: Sequence[int]
    ) -> "Iterator[tuple[Hashable, BatchedVolumeTransform]]":
        """The keys of a batch, each with the batched face in which the same parameters stand, drawn by the seeds."""
        batched = None
        for key in self.key_iterator(batch):
            batched = batched or self.array.batched.drawn_by(self.transform, batch[key], seeds)
            yield key, batched


class BatchedVolumeTransform(Randomizable, Transform):
    """The batched face: (B, C, *spatial) on any device in, the same out. A subclass names the array face in `array`.

    Each cube has a draw of its own; what was drawn last stands in `params` and, where the transform has a `prob`, the
    cubes that it was applied to in `active`, bool (B,), or None for all. Calling with `randomize=False` replays both.
    Tensors stay plain tensors; a MetaTensor, as MONAI's loaders collate, keeps its meta data and can be decollated.

    Args:
        settings: those of the array face; `prob` is that of each cube.

    Raises:
        VolumeError: (on call) not (B, C, *spatial), empty, not floating point, or not finite.
        IntensityRangeError: (on call) voxels outside `value_range` by more than 1e-3 of its width.

    Notes:
        With a batch of one and the same seed, calls give what those of the array face give, up to the first one that
        `prob` leaves out, it included: the array face then draws no parameters, this one always does.
        `torch.compile` leaves a call out of its graph: drawing is NumPy's work on the host, and there is nothing around
        a kernel to fuse it with.
    """

    backend = [TransformBackends.TORCH]
    array: type[RandVolumeTransform]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = _joined_signature(cls, cls.array)
        cls.array.batched = cls

    def __init__(self, *settings: Any, **named: Any) -> None:
        self.transform = self.array(*settings, **named)
        self.params: Params | None = None
        self.active: np.ndarray | None = None

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> "Self":
        """As MONAI's; returns the transform itself, of its own type."""
        super().set_random_state(seed, state)
        return self

    @classmethod
    def drawn_by(cls, transform: RandVolumeTransform, batch: torch.Tensor, seeds: Sequence[int]) -> "Self":
        """This face of a transform after each cube of a batch was drawn for by a seed of its own, to be replayed.

        Args:
            transform: the array face; its random state is used up.
            batch: (B, C, *spatial); only its shape counts.
            seeds: (B,)
        """
        drawn = []
        for cube, seed in zip(batch, seeds, strict=True):
            transform.set_random_state(seed).randomize(cube)
            drawn.append(transform.params)
        face = cls.__new__(cls)
        face.transform = transform
        face.active = np.array([params is not None for params in drawn])
        face.params = joined(drawn) or transform.sample(transform.R, tuple(batch.shape))
        return face

    def randomize(self, data: Any) -> None:
        """Draw for a batch (B, C, *spatial)."""
        self.active = self.R.random(data.shape[0]) < self.transform.prob
        self.params = self.transform.sample(self.R, tuple(data.shape))

    def __call__(self, batch: Any, randomize: bool = True) -> torch.Tensor:
        return self._call(batch, randomize)  # apart, because the decorator hides what is returned from type checkers

    @torch.compiler.disable
    def _call(self, batch: Any, randomize: bool) -> torch.Tensor:
        volume = convert_to_tensor(batch) if not isinstance(batch, torch.Tensor) else batch
        checked = self.transform.checked(plain(volume), "B, C")
        if randomize:
            self.randomize(checked)
        elif self.params is None:
            raise nothing_drawn(self)
        return self.finish(checked, volume)

    def finish(self, batch: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
        """Apply what was drawn to `batch`, the checked form of `volume`, and give it that one's type and meta data."""
        active = np.ones(len(batch), bool) if self.active is None else self.active
        return like(apply_where(active, self.transform, batch, self.params, source=batch), volume)


def _joined_signature(variant: type, array: type) -> inspect.Signature:
    """The signature of a face, with the array face's settings in place of its *settings and **named."""
    own = [p for name, p in inspect.signature(variant.__init__).parameters.items() if name != "self"]
    kinds = {kind: [p for p in own if p.kind is kind] for kind in inspect._ParameterKind}
    settings = list(inspect.signature(array).parameters.values())
    first = kinds[inspect.Parameter.POSITIONAL_OR_KEYWORD] + [p for p in settings if p.kind is p.POSITIONAL_OR_KEYWORD]
    last = [p for p in settings if p.kind is p.KEYWORD_ONLY] + kinds[inspect.Parameter.KEYWORD_ONLY]
    return inspect.Signature(first + last)
