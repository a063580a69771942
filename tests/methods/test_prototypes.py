"""Prototypes and their logits against loops over voxels, and a toy where the right answer is known."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medgenesis.methods.prototypes import prototype_logits, prototypes


def unit(*shape, seed=0):
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double(), dim=0)


@pytest.mark.parametrize("shape, window", [((6, 5, 7), 3), ((9, 8), (4, 2)), ((4, 4, 4), 8)])
def test_means_of_all_and_of_windows_inside(shape, window):
    features = unit(5, *shape)
    mask = torch.zeros(shape)
    mask[tuple(slice(0, side - 1) for side in shape)] = 1
    values, marked = features.numpy(), mask.numpy() > 0
    wanted = [np.mean([values[(slice(None), *at)] for at in np.argwhere(marked)], axis=0)]
    sides = np.minimum(np.broadcast_to(window, len(shape)), shape)
    for corner in itertools.product(*(range(0, side - w + 1, w) for side, w in zip(shape, sides, strict=True))):
        places = list(itertools.product(*(range(c, c + w) for c, w in zip(corner, sides, strict=True))))
        inside = [at for at in places if marked[at]]
        if len(inside) >= 0.9 * len(places):
            wanted.append(np.mean([values[(slice(None), *at)] for at in inside], axis=0))
    wanted = np.array(wanted)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(prototypes(features, mask, window).numpy(), wanted, rtol=1e-9, atol=1e-12)


def test_nothing_marked_is_no_prototype_and_nowhere():
    features = unit(4, 3, 3, 3)
    none = prototypes(features, torch.zeros(3, 3, 3))
    assert none.shape == (0, 4)
    logits = prototype_logits(features, [prototypes(features, torch.ones(3, 3, 3), 2), none])
    assert (logits.argmax(dim=0) == 0).all() and (logits[1] == -20).all()


def test_logits_voxel_by_voxel():
    features, banks = unit(4, 3, 2, 2), [unit(4, 3, seed=1).T, unit(4, 1, seed=2).T]
    found = prototype_logits(features, banks, scale=7.0)
    for at in itertools.product(range(3), range(2), range(2)):
        x = features[(slice(None), *at)]
        for number, bank in enumerate(banks):
            cosines = [float(p @ x) for p in bank]
            weights = np.exp(7 * np.array(cosines))
            wanted = 7 * float((weights * cosines).sum() / weights.sum())
            assert found[(number, *at)].item() == pytest.approx(wanted, rel=1e-9)


def test_two_kinds_of_tissue_are_told_apart():
    """Background of two kinds, which one mean would not describe, and a class: known by their own vectors."""
    kinds = torch.zeros(16, 16, dtype=torch.long)
    kinds[:, 8:], kinds[4:8, 4:8] = 1, 2
    vectors = F.normalize(torch.tensor([[1.0, 0, 0.2], [-1.0, 0, 0.2], [0, 1.0, 0.2]]), dim=1)
    features = vectors[kinds].permute(2, 0, 1)
    banks = [prototypes(features, kinds != 2, 4), prototypes(features, kinds == 2, 4)]
    turned = features.flip(1)
    assert torch.equal(prototype_logits(turned, banks).argmax(dim=0), (kinds == 2).long().flip(0))
