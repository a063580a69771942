"""Patches and black blocks against loops over voxels."""

import itertools

import numpy as np
import pytest
import torch

from medgenesis.transforms.functional.patches import black_out, place_pairs, swap_patches

SHAPES = [(14, 11), (7, 9, 6)]


def draw(shape, batch=6, tries=4):
    rng, rank = np.random.RandomState(0), len(shape)
    uniforms = rng.random((batch, 3, rank)), rng.random((batch, tries, 3, 2, rank))
    return uniforms, (np.array(shape), (np.full(rank, 2), np.full(rank, 4)), np.ones(rank, int))


@pytest.mark.parametrize("shape", SHAPES)
def test_pairs_follow_the_uniform_numbers_step_by_step(shape):
    (sizes, places), (sides, bounds, margin) = draw(shape, batch=40, tries=2 if len(shape) == 2 else 1)
    there = np.arange(40) % 4 > 0
    pairs = place_pairs(sizes, places, there, sides, bounds, margin)
    found = set()
    for b, k in itertools.product(range(40), range(3)):
        size = [range(2, 5)[int(u * 3)] for u in sizes[b, k]]
        expected = None
        for positions in places[b, :, k]:
            one, other = (
                [range(1, s - a)[int(u * (s - a - 1))] for u, s, a in zip(us, shape, size, strict=True)]
                for us in positions
            )
            boxes = [
                set(itertools.product(*(range(p, p + a) for p, a in zip(at, size, strict=True)))) for at in (one, other)
            ]
            if not boxes[0] & boxes[1]:
                expected = [[at, [p + a for p, a in zip(at, size, strict=True)]] for at in (one, other)]
                break
        found.add(expected is None)
        if expected is None or not there[b]:
            assert (pairs[b, k, :, 0] == pairs[b, k, :, 1]).all()
        else:
            assert pairs[b, k].tolist() == expected
    assert found == {True, False}


@pytest.mark.parametrize("shape", SHAPES)
def test_patches_are_read_before_any_is_written_and_later_pairs_win(shape):
    (sizes, places), bounds = draw(shape)
    pairs = place_pairs(sizes, places, np.array([True] * 5 + [False]), *bounds)
    volume = torch.rand(6, 2, *shape)
    before = volume.clone()
    swapped, conflicts = swap_patches(volume, pairs), 0
    for b in range(6):
        source = {voxel: voxel for voxel in np.ndindex(*shape)}
        for pair in pairs[b].tolist():
            moves = {}
            for (start, end), (other, _) in (pair, pair[::-1]):
                for voxel in itertools.product(*map(range, start, end)):
                    moves[voxel] = tuple(v - s + o for v, s, o in zip(voxel, start, other, strict=True))
            conflicts += sum(source[voxel] != voxel for voxel in moves)
            source |= moves
        for voxel, read in source.items():
            assert torch.equal(swapped[(b, slice(None), *voxel)], volume[(b, slice(None), *read)])
    assert conflicts and torch.equal(volume, before) and torch.equal(swapped[5], volume[5])


@pytest.mark.parametrize("shape", SHAPES)
def test_black_inside_or_outside(shape):
    rng = np.random.RandomState(1)
    blocks = np.sort(rng.randint(0, np.array(shape) + 1, (4, 3, 2, len(shape))), axis=2)
    volume, outside = torch.rand(4, 2, *shape), np.array([False, True, False, True])
    out = black_out(volume, blocks, outside, -3.0)
    for b, voxel in itertools.product(range(4), np.ndindex(*shape)):
        within = any((first <= voxel).all() and (voxel < end).all() for first, end in blocks[b])
        expected = torch.full((2,), -3.0) if within != outside[b] else volume[(b, slice(None), *voxel)]
        assert torch.equal(out[(b, slice(None), *voxel)], expected)
