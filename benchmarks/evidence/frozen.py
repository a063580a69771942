"""Frozen features: a logistic regression of each voxel on the maps of all levels, encoder and decoder."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.evidence.batches import images_of
from benchmarks.evidence.networks import FinerLogits, enlarged, restorer, segmenter
from benchmarks.evidence.scores import dice_of
from benchmarks.evidence.sets import Case, StudySet
from medgenesis.handlers.norm_statistics import reestimate_norms
from medgenesis.networks.voxel_probe import FeatureLevels
from medgenesis.weights import load_pretrained

VOXELS = 20_000  # that are fitted to at most, drawn evenly from the labelled cases
ITERATIONS = 100  # of L-BFGS at most
_AT_ONCE = 16


def frozen_network(study: StudySet, weights: Mapping[str, Tensor] | None, seed: int) -> nn.Module:
    """The network of these weights (None: of the seed), batch norm's statistics those of the unlabelled images."""
    torch.manual_seed(seed)
    network = restorer(study)
    if weights is not None:
        load_pretrained(network, weights, skip_head="always")  # its features alone are asked for
    return with_norms_of(study, network)


def with_norms_of(study: StudySet, network: nn.Module) -> nn.Module:
    """The network in evaluation mode, batch norm's statistics those of the unlabelled images."""
    reestimate_norms(network.to(study.device), images_of(study.unlabelled).split(_AT_ONCE), study.device)
    return network


def dice_of_frozen(
    study: StudySet, network: nn.Module, labelled: Sequence[Case], tested: Sequence[Case], *, penalty: float, seed: int
) -> np.ndarray:
    """Dice of each tested case and structure, (cases, structures).

    Args:
        study: the set.
        network: in evaluation mode; nothing of it is learnt.
        labelled: what the regression is fitted to, each voxel to the shares of the structures in it.
        tested: with labels.
        penalty: of half the squared weights of standardised features, beside the mean cross-entropy.
        seed: of the voxels that are drawn.
    """
    readout = FinerLogits(fitted(study, network, labelled, penalty=penalty, seed=seed), _finer(labelled))
    return dice_of(readout, tested, len(study.structures), study.device)


def fitted(study: StudySet, network: nn.Module, labelled: Sequence[Case], *, penalty: float, seed: int) -> nn.Module:
    """A network of these weights with the regression on all its levels as head; arguments as of `dice_of_frozen`."""
    features, shares, channels = _voxels(study, network, labelled, _finer(labelled), seed)
    weight, bias = fit(features, shares, penalty)
    readout = segmenter(study, seed, head_levels="all")
    load_pretrained(readout, network.state_dict(), skip_head="always")
    with torch.no_grad():
        for one, part in zip(readout.head.convs, weight.split(channels, 1), strict=True):
            one.weight.copy_(part.view_as(one.weight))
        readout.head.convs[-1].bias.copy_(bias)
    return readout.eval().to(study.device)


def fit(features: Tensor, shares: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights (K, F) and bias (K,) of a multinomial logistic regression, of features (N, F) and shares (N, K)."""
    mean, spread = features.mean(0), features.std(0).clamp(min=1e-6)
    scaled = (features - mean) / spread
    weight = torch.zeros(shares.shape[1], features.shape[1], requires_grad=True)
    bias = torch.zeros(shares.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = F.cross_entropy(scaled @ weight.T + bias, shares) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    solver.step(loss)
    weight, bias = weight.detach() / spread, bias.detach()
    return weight, bias - weight @ mean


@torch.no_grad()
def _voxels(
    study: StudySet, network: nn.Module, labelled: Sequence[Case], fine: int, seed: int
) -> tuple[Tensor, Tensor, list[int]]:
    """Features (N, F) of voxels within the images, the share of each structure in them, (N, structures + 1), and how
    many features each level has.
    """
    generator, features, shares = torch.Generator().manual_seed(seed), [], []
    for case in labelled:
        image = case.image[None]
        levels = FeatureLevels(network)(image.to(study.device))[1:]
        maps = [enlarged(one, _factor(image, one)).cpu() for one in levels]
        window = tuple(
            slice((whole - side) // 2, (whole - side) // 2 + side)
            for whole, side in zip(image.shape[2:], case.sides, strict=True)
        )
        known = F.one_hot(case.label[0].long(), len(study.structures) + 1).movedim(-1, 0).float()[None]
        pool = F.avg_pool3d if image.ndim == 5 else F.avg_pool2d
        known = pool(known, fine) if fine > 1 else known
        flat = [torch.cat(list(part), 1)[(0, slice(None), *window)].flatten(1).T for part in (maps, [known])]
        chosen = torch.randperm(len(flat[0]), generator=generator)[: VOXELS // len(labelled)]
        features.append(flat[0][chosen])
        shares.append(flat[1][chosen])
    return torch.cat(features), torch.cat(shares), [one.shape[1] for one in maps]


def _finer(cases: Sequence[Case]) -> int:
    """How many times finer the labels are than the images."""
    return cases[0].label.shape[-1] // cases[0].image.shape[-1]


def _factor(image: Tensor, maps: Tensor) -> int:
    return image.shape[-1] // maps.shape[-1]
