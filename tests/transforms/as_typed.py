"""What the docs say of the transforms' types, for a type checker; never run."""

import torch

from medgenesis.transforms import (
    BatchedAnatomyCell,
    BatchedGenesis,
    BatchedInPaint,
    BatchedLocalShuffle,
    BatchedMaskBlocks,
    RandGenesis,
    RandMaskBlocks,
)
from medgenesis.transforms.local_shuffle import LocalShuffleParams
from medgenesis.transforms.mask_blocks import MaskBlocksParams
from medgenesis.transforms.painting import PaintParams

volumes = torch.rand(2, 1, 32, 32, 32)

mask_blocks = BatchedMaskBlocks(0.5, 8)
hidden: torch.Tensor = mask_blocks(volumes)
mask: torch.Tensor = mask_blocks.params.mask("cpu")
drawn: MaskBlocksParams = RandMaskBlocks(0.5, 8).set_random_state(0).params
shuffled: LocalShuffleParams = BatchedLocalShuffle().set_random_state(0).params
painted: PaintParams = BatchedInPaint().params
cell: torch.Tensor = BatchedAnatomyCell(1).set_random_state(0)(volumes)

corrupted, target = BatchedGenesis("models").set_random_state(0)(volumes)
both: tuple[torch.Tensor, torch.Tensor] = BatchedGenesis("models")(volumes)
one: tuple[torch.Tensor, torch.Tensor] = RandGenesis("models").set_random_state(0)(volumes[0])
wrong: int = BatchedMaskBlocks(0.5, 8)(volumes)  # the one line that the checker must refuse
