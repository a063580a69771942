"""Adam: contrast anatomical structures, from the whole image to ever smaller cells."""

import math

from torch import Tensor, nn

from medgenesis.engines.method import PretextMethod
from medgenesis.methods.discriminators.momentum_contrast import MomentumContrast


class Adam(PretextMethod):
    """Momentum contrast between cells of anatomy, without negatives that look like the anchor.

    loss = mean over the cells of -log(e^(p/T) / (e^(p/T) + sum of e^(n/T) over the negatives n < prune_above))

    One stage is one level: the cells themselves are cut by `RandAnatomyCell` of the same level. The next stage starts
    from `initialise_from_stage` of this one.

    Args:
        network: backbone, image -> pooled features, with `out_channels` (`ResNet25D()`).
        level: granularity n of the stage (published: 0, then 2, then 4). At level 0, whole images, nothing is pruned.
        prune_above: negatives of this cosine or more are pruned at the other levels (published: 0.8); None: none are,
            nor is "pruned" returned.
        settings: of `MomentumContrast`: `dim`, `queue_size`, `momentum`, `temperature`, `mlp`, `split_batch`, and
            `prune_after`, so many batches without pruning, for short trainings (ours).

    Shape:
        batch: `image` and `key`, two views of one cell of each slab, (B, k, H, W).
        returns: "loss"; "pruned", the share of the negatives that was dropped (the only sign of a collapse, or of too
            low a threshold); "positive" and "negative", mean cosines. Scalars.

    Raises:
        ValueError: a level that is not a whole number from 0; what `MomentumContrast` raises.

    References:
        Hosseinzadeh Taher et al., Adam, DART at MICCAI 2023 (arXiv 2309.15358), section 2.

    Notes:
        The loss is not comparable between levels, thresholds or queue sizes: an untrained network has ln(K + 1).
    """

    def __init__(self, network: nn.Module, *, level: int = 0, prune_above: float | None = 0.8, **settings) -> None:
        super().__init__()
        if isinstance(level, bool) or not isinstance(level, int) or level < 0:
            raise ValueError(
                f"level: must be a whole number from 0, published 0, 2 and 4; found {level!r}. Give one of these."
            )
        self.network, self.level, self.settings = network, level, {"level": level}
        self.discrimination = MomentumContrast(network, prune_above=prune_above if level else math.inf, **settings)
        self.parts = self.discrimination.parts

    def check_batch(self, batch: int, processes: int = 1) -> None:
        """Refuse a batch size (of each process) that the queue does not fit; called before training."""
        self.discrimination.check_batch(batch, processes)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.discrimination(self.network(batch["image"]), batch["key"], self.network)
