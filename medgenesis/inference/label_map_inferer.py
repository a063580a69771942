"""Label maps by overlapping windows, slab after slab: the scores of the whole volume are never held."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type, ensure_tuple_rep, fall_back_tuple
from torch import Tensor

from medgenesis.data.checks import check_answers
from medgenesis.io.naming import volume_name


class LabelMapInferer(Inferer):
    """The class of each voxel, the argmax of what MONAI's `SlidingWindowInferer` answers, in a part of its memory.

    Windows come in that inferer's order and batches, and are weighted and added as there, so that no rounding differs.
    Along the first axis scores are held where windows still to come may add to them, for as many rows as a window has;
    the rows before these become labels. Of 104 classes and 256^3 voxels it holds a quarter of the scores, of longer
    volumes less.

    Args:
        roi_size: voxels of a window; where an axis is -1 or None, the volume's.
        sw_batch_size: windows at a time.
        overlap: of neighbouring windows, from 0 to below 1, for all axes or for each.
        mode: "gaussian" (windows weigh less at their borders) or "constant".
        sigma_scale: of the Gaussian, as a share of the window.

    Shape:
        inputs: volumes (B, C, *spatial); network: windows (n, C, *roi_size) -> scores (n, classes, *roi_size); returns
        labels (B, 1, *spatial), uint8, or int32 of more than 256 classes, with the meta data of the inputs.

    Raises:
        ValueError: an overlap out of its range; (on call) a network that answers on another grid.
        VolumeError: (on call) scores that are not finite.
    """

    def __init__(
        self,
        roi_size: Sequence[int] | int,
        sw_batch_size: int = 1,
        overlap: Sequence[float] | float = 0.25,
        mode: str = "constant",
        sigma_scale: Sequence[float] | float = 0.125,
    ) -> None:
        if not all(0 <= one < 1 for one in ensure_tuple_rep(overlap, 3)):
            raise ValueError(f"overlap: must be from 0 to below 1; found {overlap}. Take 0.5, for example.")
        self.roi_size, self.sw_batch_size, self.overlap = roi_size, sw_batch_size, overlap
        self.mode, self.sigma_scale = mode, sigma_scale

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        shape = plain.shape[2:]
        roi = fall_back_tuple(ensure_tuple_rep(self.roi_size, len(shape)), shape)
        before = [max(wanted - side, 0) // 2 for wanted, side in zip(roi, shape, strict=True)]
        after = [max(wanted - side, 0) - low for wanted, side, low in zip(roi, shape, before, strict=True)]
        if any(before) or any(after):
            plain = F.pad(
                plain, [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
            )
        names = [volume_name(one) for one in inputs]
        labels = self._labels(plain, names, roi, lambda windows: network(windows, *args, **kwargs))
        inside = [slice(low, low + side) for low, side in zip(before, shape, strict=True)]
        labels = labels[(slice(None), slice(None), *inside)]
        return convert_to_dst_type(labels, inputs, dtype=labels.dtype)[0] if isinstance(inputs, MetaTensor) else labels

    def _labels(
        self, volumes: Tensor, names: Sequence[str], roi: tuple[int, ...], network: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """(B, C, *spatial), at least as large as a window -> (B, 1, *spatial)."""
        places = dense_patch_slices(volumes.shape[2:], roi, self._steps(volumes.shape[2:], roi))
        weight = compute_importance_map(roi, self.mode, self.sigma_scale, volumes.device, dtype=volumes.dtype)
        windows = [(b, place) for b in range(len(volumes)) for place in places]
        labels, rows = torch.empty(0), None
        for start in range(0, len(windows), self.sw_batch_size):
            batch = windows[start : start + self.sw_batch_size]
            scores = network(torch.cat([volumes[(slice(b, b + 1), slice(None), *place)] for b, place in batch]))
            if scores.shape[2:] != roi:
                raise ValueError(
                    f"network: must answer on the grid of its window, {tuple(roi)}; found {tuple(scores.shape[2:])}. "
                    "Use MONAI's SlidingWindowInferer."
                )
            check_answers(scores, ", ".join(dict.fromkeys(names[b] for b, _ in batch)))
            if rows is None:
                kind = torch.uint8 if scores.shape[1] <= 256 else torch.int32
                labels = torch.empty((len(volumes), 1, *volumes.shape[2:]), dtype=kind, device=volumes.device)
                rows = _Rows(labels, scores.shape[1], roi[0], volumes.dtype)
            for (b, place), score in zip(batch, scores, strict=True):
                rows.add(b, place, score, weight)
        if rows is not None:
            rows.finish()
        return labels

    def _steps(self, shape: Sequence[int], roi: Sequence[int]) -> list[int]:
        """Voxels from each window to the next, as MONAI has them."""
        overlaps = ensure_tuple_rep(self.overlap, len(shape))
        axes = zip(shape, roi, overlaps, strict=True)
        return [window if window == side else max(int(window * (1 - overlap)), 1) for side, window, overlap in axes]


class _Rows:
    """Scores and summed weights of the rows that windows may still add to; those before them are labels already."""

    def __init__(self, labels: Tensor, classes: int, count: int, dtype: torch.dtype) -> None:
        self.labels, self.first, self.of = labels, 0, 0
        self.scores = torch.zeros((classes, count, *labels.shape[3:]), dtype=dtype, device=labels.device)
        self.weights = torch.zeros((1, *self.scores.shape[1:]), dtype=dtype, device=labels.device)

    def add(self, volume: int, place: tuple[slice, ...], scores: Tensor, weight: Tensor) -> None:
        """Windows come ordered by volume, then by their first row."""
        if volume != self.of:
            self.finish()
            self.first, self.of = 0, volume
        if place[0].start > self.first:
            self._label(place[0].start - self.first)
        for row, weights in enumerate(weight):  # one at a time: no second copy of the scores, which are the network's
            self.scores[(slice(None), row, *place[1:])] += (scores[:, row] * weights).to(scores.dtype)
        self.weights[(slice(None), slice(None), *place[1:])] += weight

    def finish(self) -> None:
        """Label all rows that are left of a volume."""
        self._label(self.scores.shape[1])

    def _label(self, count: int) -> None:
        """Of the first rows make labels, and take the next ones in."""
        for row in range(count):  # one at a time: no second copy of the scores
            self.scores[:, row] /= self.weights[:, row]
            self.labels[self.of, 0, self.first + row] = self.scores[:, row].argmax(dim=0)
        self.first += count
        for held in (self.scores, self.weights):
            left = held.shape[1] - count
            for row in range(left):  # in place, from the front
                held[:, row] = held[:, row + count]
            held[:, left:] = 0
