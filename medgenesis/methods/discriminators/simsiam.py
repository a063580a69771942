"""Instance discrimination without negatives: SimSiam."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgenesis.losses import negative_cosine
from medgenesis.methods.discriminators.contract import Discriminator
from medgenesis.methods.discriminators.projection import check_normed_batch, feature_channels, normed_mlp
from medgenesis.networks import global_average_pool


class SimSiam(Discriminator):
    """Predict each view's projection from the other's, through the one encoder; for CAiD in place of MomentumContrast.

    loss = (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2, without gradient to z; in [-1, 1].

    Args:
        encoder: the method's, with `out_channels`; not kept.
        dim: numbers of a projection.
        hidden: width of the predictor's hidden layer.

    Shape:
        as `MomentumContrast`; returns "loss" and "spread": standard deviation over the batch of the unit projections,
            mean over their numbers, times sqrt(dim). About 1 is healthy, 0 is collapse.

    References:
        Chen and He, SimSiam, CVPR 2021 (arXiv 2011.10566). Hosseinzadeh Taher et al., CAiD, MIDL 2022.

    Notes:
        Published recipe: SGD with learning rate 0.05 * batch / 256, cosine, but constant for `predictor`. Batch norm is
        that of each process.
    """

    parts = ("spread",)

    def __init__(self, encoder: nn.Module, *, dim: int = 2048, hidden: int = 512) -> None:
        super().__init__()
        channels = feature_channels(encoder)
        self.projector = nn.Sequential(
            *normed_mlp(channels, channels, channels, dim), nn.BatchNorm1d(dim, affine=False)
        )
        squeeze = nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)
        self.predictor = nn.Sequential(*squeeze, nn.Linear(hidden, dim))

    def check_batch(self, batch: int, processes: int = 1) -> None:
        """Refuse a batch of one a process. Raises: ValueError."""
        check_normed_batch(batch)

    def forward(self, features: Tensor, key: Tensor, encoder: nn.Module) -> dict[str, Tensor]:
        raw = self.projector[:-1](features)
        first, second = self.projector[-1](raw), self.projector(global_average_pool(encoder(key)))
        forth = negative_cosine(self.predictor(first), second)
        back = negative_cosine(self.predictor(second), first)
        return {"loss": (forth + back) / 2, "spread": _spread(first.detach(), raw.detach(), features.detach())}


def _spread(projections: Tensor, raw: Tensor, features: Tensor) -> Tensor:
    """The spread of normalised projections, which is 0 where only rounding tells the images apart.

    Batch norm makes unit variance of rounding noise, so that collapsed projections would look healthy: what is equal
    before the last normalisation (`raw`), or before the first (`features`), counts as equal.
    """
    differ = _differing(raw) & _differing(features).any()
    unit = F.normalize(projections.float() * differ, dim=1)
    return torch.std(unit, dim=0, correction=0).mean() * unit.shape[1] ** 0.5


def _differing(values: Tensor) -> Tensor:
    """Which numbers of (B, C) differ in the batch by more than rounding."""
    noise = 32 * torch.finfo(values.dtype).eps * values.abs().max()
    return values.float().std(dim=0, correction=0) > noise
