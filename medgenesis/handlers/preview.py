"""Pictures of the pretext task: original | corrupted | restored."""

from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from PIL import Image
from torch import Tensor

from medgenesis.atomic import replacing


def pretext_triples(batch: dict[str, Tensor], restored: Tensor, count: int = 4, gap: int = 2) -> np.ndarray:
    """Draw the middle slices of a few cubes: one row a cube, columns original, corrupted, restored.

    Args:
        batch: `target` and `image`, (B, C, *spatial) in [0, 1]; channel 0 is drawn.
        restored: (B, C, *spatial).
        count: rows at most.
        gap: voxels of white between pictures.

    Returns:
        uint8 grey picture (rows, columns). The slice is the middle one of the last axis (axial on the standard
        grid), drawn with the first axis to the right and the second downwards.
    """
    rows = []
    for index in range(min(count, len(restored))):
        pictures = [_middle_slice(volume[index, 0]) for volume in (batch["target"], batch["image"], restored)]
        rows.append(np.concatenate([np.pad(p, gap, constant_values=1.0) for p in pictures], axis=1))
    return (np.concatenate(rows) * 255).round().astype(np.uint8)


def _middle_slice(volume: Tensor) -> np.ndarray:
    plane = volume if volume.ndim == 2 else volume[..., volume.shape[-1] // 2]
    return torch.nan_to_num(plane).detach().float().clamp(0, 1).cpu().numpy().T


class Preview:
    """Write a picture of the last validation batch to `folder/epoch_0001.png`, …

    Args:
        folder: receives the pictures; made if absent.
        validator: the evaluator whose last batch is drawn (the same cubes every epoch).
        every: epochs between pictures.
        scale: enlargement, whole.
    """

    def __init__(self, folder: str | Path, validator: Evaluator, every: int = 1, scale: int = 2) -> None:
        self.folder, self.validator, self.every, self.scale = Path(folder), validator, every, scale

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every), self)

    def __call__(self, engine: Engine) -> None:
        state = self.validator.state
        if engine.state.rank != 0 or not state.output or "restored" not in state.output:
            return
        picture = pretext_triples(state.batch, state.output["restored"])
        with replacing(self.folder / f"epoch_{engine.state.epoch:04d}.png") as beside:
            Image.fromarray(picture.repeat(self.scale, 0).repeat(self.scale, 1)).save(beside)
