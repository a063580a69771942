"""Label maps: several source values become one target value (lungs = 10-14), everything else background."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform

from medgenesis.data.arrays import as_tensor
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.io.naming import volume_name

GREATEST_LABEL = 2**24 - 1  # label maps are read as float32, which has no more whole numbers


class MergeLabelsd(MapTransform):
    """Give each group of label values one value; values in no group become background (0).

    Args:
        keys: keys of the label maps; NumPy arrays become plain tensors.
        merge: target value -> source values, as a list or as text: `{1: [10, 11, 12]}`, `{1: "10-14,20"}`.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        DatalistError: a value that is no whole number, or one source in two groups.
        VolumeError: when called, for a label map whose type cannot hold a target: 300 in uint8.

    Notes:
        A label map keeps its type. Sources that it cannot hold are not in it.
    """

    def __init__(
        self, keys: str | Sequence[str], merge: Mapping[int | str, Any], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.merge = parse_label_merge(merge)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        merged = dict(data)
        for key in self.key_iterator(merged):
            merged[key] = self._merged(as_tensor(merged[key]))
        return merged

    def _merged(self, label: torch.Tensor) -> torch.Tensor:
        pairs = sorted((source, target) for target, sources in self.merge.items() for source in sources)
        if not pairs:
            return torch.zeros_like(label)
        most = max(target for _, target in pairs)
        if most > _greatest_whole(label.dtype):
            raise VolumeError(
                f"{volume_name(label)}: must hold the classes of label_merge, up to {most}; found "
                f"{str(label.dtype).removeprefix('torch.')}, up to {_greatest_whole(label.dtype)}. Convert it to int32 "
                "first."
            )
        values = _looked_up(label.as_tensor() if isinstance(label, MetaTensor) else label).contiguous()
        sources, targets = (
            torch.tensor(one, dtype=values.dtype, device=label.device) for one in zip(*pairs, strict=True)
        )
        place = torch.searchsorted(sources, values).clamp_(max=len(pairs) - 1)  # one look-up, however many labels
        result = torch.zeros_like(label)
        plain = result.as_tensor() if isinstance(result, MetaTensor) else result
        plain.copy_(torch.where(sources[place] == values, targets[place], 0))
        return result


def _looked_up(values: torch.Tensor) -> torch.Tensor:
    """In a type that holds every source: uint8 has no 300, and float16 no 2049."""
    if not values.is_floating_point():
        return values.long()
    return values.float() if values.dtype.itemsize < 4 else values


def _greatest_whole(dtype: torch.dtype) -> int:
    """Up to which a type holds every whole number."""
    if dtype == torch.bool:
        return 1
    return int(2 / torch.finfo(dtype).eps) if dtype.is_floating_point else torch.iinfo(dtype).max


def parse_label_merge(merge: Mapping[int | str, Any]) -> dict[int, list[int]]:
    """Read `{target: sources}` with sources as a number, a list, or text such as "10-14,20".

    Raises:
        DatalistError: no mapping, a value that is no whole number, or one source in two groups.
    """
    if not isinstance(merge, Mapping):
        raise DatalistError(
            f"label_merge: must be a mapping of classes to labels; found {merge!r}. Write it as {{'1': '10-14,20'}}."
        )
    try:
        parsed = {int(target): _values(sources) for target, sources in merge.items()}
    except (TypeError, ValueError) as error:
        raise DatalistError(
            f'label_merge: must name whole numbers; found {dict(merge)!r}. Write it as {{"1": [10, 11]}} or 1=10-14,20.'
        ) from error
    counts = Counter(source for sources in parsed.values() for source in sources)
    if not counts:
        return parsed
    if max(counts) > GREATEST_LABEL or min(*counts, *parsed) < 0:
        raise DatalistError(
            f"label_merge: labels must be from 0 to {GREATEST_LABEL}; found {min(*counts, *parsed)} to {max(counts)}. "
            "Number them anew."
        )
    twice = sorted(source for source, count in counts.items() if count > 1)
    if twice:
        raise DatalistError(
            f"label_merge: a label must be in one group; found label {twice[0]} in two groups. Put it in one."
        )
    return parsed


def _values(sources: Any) -> list[int]:
    if isinstance(sources, int):
        return [sources]
    if isinstance(sources, str):
        ranges = [[int(end) for end in part.split("-")] for part in sources.split(",")]
        if any(len(ends) > 2 or ends[0] > ends[-1] for ends in ranges):
            raise ValueError(sources)
        if any(ends[-1] > GREATEST_LABEL for ends in ranges):
            return [ends[-1] for ends in ranges]  # refused by the caller, without two thousand million of them
        return [value for ends in ranges for value in range(ends[0], ends[-1] + 1)]
    if isinstance(sources, Iterable):
        return [value for source in sources for value in _values(source)]
    raise TypeError(sources)
