"""Images of the pretext task: original | corrupted | restored, or the two views of a slab."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from PIL import Image
from torch import Tensor

from medgenesis.storage.atomic import replacing


def pretext_triples(batch: dict[str, Tensor], restored: Tensor, count: int = 4, gap: int = 2) -> np.ndarray:
    """Draw the middle slices of a few cubes: one row a cube, columns original, corrupted, restored.

    Args:
        batch: `target` and `image`, volumes (B, C, X, Y, Z) or slabs (B, k, H, W), shown from 0 to 1; where a target
            leaves that (z-scored data), from its own least to its greatest value.
        restored: likewise.
        count: rows at most.
        gap: voxels of white between images.

    Returns:
        uint8 grey image (rows, columns). Of a volume's channel 0 the middle slice of the last axis (axial on the
        standard grid) is drawn, with the first axis to the right and the second downwards; of a slab its middle slice.
    """
    low, width = _window(batch["target"])
    columns = (batch["target"], batch["image"], restored)
    return _side_by_side([(column.to(low) - low) / width for column in columns], count, gap)


def pretext_image(batch: dict[str, Tensor], output: dict[str, Any]) -> tuple[str, np.ndarray] | None:
    """What there is to see of a method's batch, and its caption; None where there is nothing.

    Args:
        batch: as `pretext_triples` takes it; or with `image` and `key`, two views (B, k, H, W); or as `RegionPrompts`
            or `DenseContrast` take it.
        output: of the method; with "restored" the batch's triples are drawn, with "found" (B, 1, *spatial) the prompt,
            the query and the answer, else the two views, or cubes.
    """
    if "restored" in output:
        return "original, corrupted, restored", pretext_triples(batch, output["restored"])
    if "found" in output:
        columns = ("prompt", "prompt_mask", "image", "target")
        return "prompt, marked, query, sought, found", _side_by_side(
            [*(batch[key] for key in columns), output["found"]]
        )
    if "key" in batch:
        return "two views", _side_by_side((batch["image"], batch["key"]))
    if "other" in batch:
        return "two overlapping cubes", _side_by_side((batch["image"], batch["other"]))
    return None


def _side_by_side(columns: Sequence[Tensor], count: int = 4, gap: int = 2) -> np.ndarray:
    rows = []
    for index in range(min(count, len(columns[0]))):
        images = [_middle_slice(column[index]) for column in columns]
        rows.append(np.concatenate([np.pad(p, gap, constant_values=1.0) for p in images], axis=1))
    return (np.concatenate(rows) * 255).round().astype(np.uint8)


def _window(target: Tensor) -> tuple[Tensor, Tensor]:
    """Least value and width of what is shown of each cube of a batch, as (B, 1, …)."""
    least, greatest = torch.aminmax(target.detach().float().flatten(1), dim=1)
    own = (least < -1e-3) | (greatest > 1 + 1e-3)
    each = (-1, *(1,) * (target.ndim - 1))
    low = torch.where(own, least, torch.zeros_like(least))
    width = torch.where(own & (greatest > least), greatest - least, torch.ones_like(least))
    return low.view(each), width.view(each)


def _middle_slice(volume: Tensor) -> np.ndarray:
    plane = volume[len(volume) // 2] if volume.ndim == 3 else volume[0, ..., volume.shape[-1] // 2].T
    return torch.nan_to_num(plane).detach().float().clamp(0, 1).cpu().numpy()


class Preview:
    """Write an image of the last validation batch to `folder/epoch_0001.png`, …: what was restored, or two views.

    Args:
        folder: receives the images; made if absent.
        validator: the evaluator whose last batch is drawn (the same cubes every epoch).
        every: epochs between images.
        scale: enlargement, whole.
    """

    def __init__(self, folder: str | Path, validator: Evaluator, every: int = 1, scale: int = 2) -> None:
        self.folder, self.validator, self.every, self.scale = Path(folder), validator, every, scale

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every), self)

    def __call__(self, engine: Engine) -> None:
        state = self.validator.state
        found = pretext_image(state.batch, state.output) if engine.state.rank == 0 and state.output else None
        if found is None:
            return
        _, image = found
        with replacing(self.folder / f"epoch_{engine.state.epoch:04d}.png") as beside:
            Image.fromarray(image.repeat(self.scale, 0).repeat(self.scale, 1)).save(beside)
