"""Label maps: several source values become one target value (lungs = 10-14), everything else background."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform

from medgenesis.data.arrays import as_tensor
from medgenesis.errors import DatalistError

GREATEST_LABEL = 2**24 - 1  # label maps are read as float32, which has no more whole numbers


class MergeLabelsd(MapTransform):
    """Give each group of label values one value; values in no group become background (0).

    Args:
        keys: keys of the label maps; NumPy arrays become plain tensors.
        merge: target value -> source values, as a list or as text: `{1: [10, 11, 12]}`, `{1: "10-14,20"}`.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        DatalistError: a value that is no whole number, or one source in two groups.
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
        sources, targets = (
            torch.tensor(one, dtype=label.dtype, device=label.device) for one in zip(*pairs, strict=True)
        )
        values = (label.as_tensor() if isinstance(label, MetaTensor) else label).contiguous()
        place = torch.searchsorted(sources, values).clamp_(max=len(pairs) - 1)  # one look-up, however many labels
        result = torch.zeros_like(label)
        found = sources[place] == values
        result[found] = targets[place[found]]
        return result


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
