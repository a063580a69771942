"""Instance discrimination by redundancy reduction: Barlow Twins."""

from torch import Tensor, nn

from medgenesis.losses import barlow_twins
from medgenesis.methods.discriminators.contract import Discriminator
from medgenesis.methods.discriminators.projection import check_normed_batch, feature_channels, normed_mlp
from medgenesis.networks import global_average_pool


class BarlowTwins(Discriminator):
    """Correlate the projections of two views through the one encoder; for CAiD in place of MomentumContrast.

    Args:
        encoder: the method's, with `out_channels`; not kept.
        dim: numbers of a projection, and of the projector's hidden layers.
        off_diagonal: weight of what different features share.

    Shape:
        as `MomentumContrast`; returns "loss" alone.

    References:
        Zbontar et al., Barlow Twins, ICML 2021 (arXiv 2103.03230). Hosseinzadeh Taher et al., CAiD, MIDL 2022.

    Notes:
        The loss is of order `dim` at the start, so that CAiD's published context weight of 10 means another balance.
        In training the correlation is over the batches of all processes; batch norm in the projector is that of each.
        Published optimiser: LARS. What chance adds to the loss grows as the batch shrinks: a short last batch weighs
        heavily in a mean over validation batches, unless the loader drops it.
    """

    parts = ()
    least_batch = 2  # also in evaluation: of one image nothing can be correlated

    def __init__(self, encoder: nn.Module, *, dim: int = 8192, off_diagonal: float = 0.005) -> None:
        super().__init__()
        self.projector = normed_mlp(feature_channels(encoder), dim, dim, dim)
        self.off_diagonal = off_diagonal

    def check_batch(self, batch: int, processes: int = 1) -> None:
        """Refuse a batch of one a process. Raises: ValueError."""
        check_normed_batch(batch)

    def forward(self, features: Tensor, key: Tensor, encoder: nn.Module) -> dict[str, Tensor]:
        first, second = self.projector(features), self.projector(global_average_pool(encoder(key)))
        return {"loss": barlow_twins(first, second, self.off_diagonal, all_ranks=self.training)}
