"""Dense contrast: the same voxel in two overlapping cubes is alike, other voxels are not."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgenesis.engines.method import PretextMethod
from medgenesis.methods.answer_shape import check_features


class DenseContrast(PretextMethod):
    """Contrast of the voxels of two overlapping, differently corrupted cubes, as a module whose forward is its loss.

    In the overlap of each pair of cubes voxels are drawn. The feature of each in one cube should be nearest to that of
    the same voxel in the other, among all voxels drawn in the batch.

    loss = mean of both directions' InfoNCE over the drawn voxels

    Args:
        network: encoder-decoder without activation, (B, C, *spatial) -> features (B, D, *spatial).
        voxels: drawn of each pair.
        temperature: of the cosines.
        seed: of the voxels, which are drawn anew for each batch; in evaluation the same for every batch.

    Shape:
        batch: `image` and `other` (B, C, *spatial); `offset` int (B, n): where the first voxel of `other` lies from
            that of `image`; as `RandTwoCubesd` makes them.
        returns: "loss"; "matched", share of drawn voxels whose nearest is the right one.

    Raises:
        ValueError: a setting out of its range; (on call) cubes without overlap, or with fewer voxels than are to be
            drawn, a network that gives no features of each voxel.

    References:
        O Pinheiro et al., Unsupervised learning of dense visual representations, NeurIPS 2020 (arXiv 2011.05499).
        Chaitanya et al., Contrastive learning of global and local features, NeurIPS 2020 (arXiv 2006.10511): the local
        loss on decoder maps.

    Notes:
        Published: a momentum encoder and a queue, or a separate decoder stage. Here both cubes go through the network
        that learns, and negatives are the other voxels of the batch.
    """

    parts = ("matched",)

    def __init__(self, network: nn.Module, *, voxels: int = 128, temperature: float = 0.1, seed: int = 0) -> None:
        super().__init__()
        if voxels < 2 or not temperature > 0:
            raise ValueError(
                f"voxels, temperature: must be at least 2, and above 0; found {voxels}, {temperature}. Take 128, 0.1."
            )
        self.network, self.voxels, self.temperature, self.seed = network, voxels, temperature, seed
        self.settings = {"voxels": voxels, "temperature": temperature}
        self.register_buffer("drawn", torch.zeros((), dtype=torch.long))  # batches, so that a restart goes on

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        absent = [name for name in ("image", "other", "offset") if name not in batch]
        if absent:
            raise ValueError(
                f"{absent[0]}: must be in the batch; found {', '.join(batch)}. Make pairs by RandTwoCubesd, and let "
                "the data set keep its keys."
            )
        _refuse_more(self.voxels, math.prod(batch["image"].shape[2:]), "a cube")
        images = torch.cat([batch["image"], batch["other"]])
        answers = self.network(images)
        check_features(answers, images)
        first, second = F.normalize(answers.float(), dim=1).chunk(2)
        here, there = self._places(batch["offset"].cpu(), tuple(batch["image"].shape[2:]))
        queries, keys = _at(first, here), _at(second, there)
        cosines = queries @ keys.T / self.temperature
        own = torch.arange(len(cosines), device=cosines.device)
        loss = (F.cross_entropy(cosines, own) + F.cross_entropy(cosines.T, own)) / 2
        return {"loss": loss, "matched": (cosines.detach().argmax(dim=1) == own).float().mean()}

    def _places(self, offsets: Tensor, sides: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Voxels (B, voxels, n) of the overlap, as indices into the one and into the other cube."""
        generator = torch.Generator().manual_seed(self.seed + (int(self.drawn) if self.training else -1) % 2**31)
        if self.training:
            self.drawn += 1
        size = torch.tensor(sides)
        low, high = offsets.clamp(min=0), torch.minimum(size, size + offsets)
        if (high <= low).any():
            raise ValueError(
                f"offset: must leave an overlap of cubes of {sides}; found {offsets.tolist()}. Cut both from a "
                "smaller cube, or make them larger."
            )
        shares = torch.rand((len(offsets), self.voxels, len(sides)), generator=generator)
        here = low[:, None] + (shares * (high - low)[:, None]).long()
        return here, here - offsets[:, None]


def check_overlap_voxels(voxels: int, cube_size: Sequence[int]) -> None:
    """Refuse more voxels than the smallest overlap of two cubes, cut from one and a half times their sides, holds.

    Args:
        voxels: drawn of each pair.
        cube_size: of the cubes.

    Raises:
        ValueError: there are more.
    """
    _refuse_more(
        voxels, math.prod(side - side // 2 for side in cube_size), f"the smallest overlap of {list(cube_size)}"
    )


def _refuse_more(voxels: int, most: int, what: str) -> None:
    """The cosines of all pairs of drawn voxels are held at once, too: a million needs terabytes."""
    if voxels > most:
        raise ValueError(
            f"voxels: must be at most {most}, those of {what}; found {voxels}. Take fewer, 128 for example, or larger "
            "cubes."
        )


def _at(features: Tensor, places: Tensor) -> Tensor:
    """Features (B * voxels, D) at places (B, voxels, n)."""
    flat = torch.zeros(places.shape[:2], dtype=torch.long)
    for axis, side in enumerate(features.shape[2:]):
        flat = flat * side + places[..., axis]
    chosen = flat.to(features.device)[:, None].expand(-1, features.shape[1], -1)
    return features.flatten(2).gather(2, chosen).transpose(1, 2).flatten(0, 1)
