"""RandAnatomyCell: the grids by bisection, the cells by plain indexing, every one alike."""

import logging

import numpy as np
import pytest
import torch
from scipy import stats

from medgenesis.errors import VolumeError
from medgenesis.transforms import BatchedAnatomyCell, RandAnatomyCell


def bisected(level, rank):
    """Cells on each axis after so many bisections, one by one."""
    counts, order = [1] * rank, [1, 0] if rank == 2 else [0, 1, 2]
    for step in range(level):
        counts[order[step % rank]] *= 2
    return tuple(counts)


@pytest.mark.parametrize("level", range(8))
def test_the_grid_of_a_level(level):
    binary, square = (RandAnatomyCell(level, grid) for grid in ("binary", "square"))
    for rank in (2, 3):
        assert binary.counts(rank) == bisected(level, rank) and np.prod(binary.counts(rank)) == 2**level
        assert square.counts(rank) == (max(level, 1),) * rank
    assert binary.counts(2) == (2 ** (level // 2), 2 ** ((level + 1) // 2)), "rows and columns of the paper"


def test_the_paper_and_its_program_agree_at_the_levels_that_are_trained_and_nowhere_else():
    image = torch.rand(1, 301, 283)
    for level in range(6):
        first, second = (RandAnatomyCell(level, grid).set_random_state(0) for grid in ("binary", "square"))
        same = [
            first(image).shape == second(image).shape and torch.equal(first(image), second(image)) for _ in range(6)
        ]
        assert set(same) == {level in (0, 2, 4)}


@pytest.mark.parametrize(
    "shape, level, grid",
    [
        ((103, 97), 2, "binary"),
        ((103, 97), 3, "binary"),
        ((103, 97), 3, "square"),
        ((33, 41, 37), 5, "binary"),
        ((33, 41, 37), 3, "square"),
    ],
)
def test_a_cell_is_a_whole_part_of_the_sides_and_the_rest_at_the_far_end_is_never_taken(shape, level, grid):
    volume = torch.arange(np.prod(shape), dtype=torch.float32).reshape(1, *shape)
    transform = RandAnatomyCell(level, grid, least_side=8).set_random_state(0)
    counts = transform.counts(len(shape))
    for _ in range(30):
        cell, where = transform(volume), transform.params.starts[0] // transform.params.sides
        box = [slice(w * (s // c), (w + 1) * (s // c)) for w, s, c in zip(where, shape, counts, strict=True)]
        assert torch.equal(cell.as_tensor(), volume[(slice(None), *box)])
        first, end = transform.params.expand()[0]
        assert [slice(*ends) for ends in zip(first, end, strict=True)] == box
    assert any(side % count for side, count in zip(shape, counts, strict=True))


def test_every_cell_is_alike_in_probability_on_each_axis_by_itself():
    for shape, level in (((256, 256), 4), ((64, 64, 64), 4)):
        params = RandAnatomyCell(level).sample(np.random.RandomState(0), (10_000, 1, *shape))
        numbers = np.ravel_multi_index((params.starts // params.sides).T, params.counts)
        assert stats.chisquare(np.bincount(numbers, minlength=2**level)).pvalue > 1e-4


@pytest.mark.parametrize("shape, level", [((37, 50), 3), ((20, 33, 41), 4)])
def test_anywhere_every_place_is_alike_in_probability_and_the_size_is_the_grids(shape, level):
    volume = torch.arange(np.prod(shape), dtype=torch.float32).reshape(1, *shape)
    transform = RandAnatomyCell(level, least_side=4, anywhere=True).set_random_state(0)
    sides = [side // count for side, count in zip(shape, transform.counts(len(shape)), strict=True)]
    for _ in range(20):
        cell, starts = transform(volume), transform.params.starts[0]
        box = [slice(first, first + side) for first, side in zip(starts, sides, strict=True)]
        assert torch.equal(cell.as_tensor(), volume[(slice(None), *box)]) and list(cell.shape[1:]) == sides
    starts = transform.sample(np.random.RandomState(0), (20_000, 1, *shape)).starts
    for axis, (whole, side) in enumerate(zip(shape, sides, strict=True)):
        counts = np.bincount(starts[:, axis], minlength=whole - side + 1)
        assert len(counts) == whole - side + 1 and stats.chisquare(counts).pvalue > 1e-4
    assert RandAnatomyCell(0, anywhere=True)(torch.rand(1, 40, 50)).shape == (1, 40, 50)


def test_level_0_is_the_whole_volume_in_new_memory():
    image = torch.rand(3, 70, 90)
    whole = RandAnatomyCell(0)(image)
    assert torch.equal(whole.as_tensor(), image) and whole.data_ptr() != image.data_ptr()


def test_a_grid_too_fine_is_named_before_anything_is_drawn():
    transform = RandAnatomyCell(4).set_random_state(0)
    state = transform.R.get_state()[1].copy()
    with pytest.raises(
        VolumeError, match=r"level 4 must have sides of at least 32 .* \(4, 4\) cells of \(31, 50\) .* \(127, 200\)"
    ):
        transform(torch.rand(1, 127, 200))
    with pytest.raises(VolumeError, match="least_side"):
        BatchedAnatomyCell(9, least_side=1)(torch.rand(2, 1, 8, 8))
    np.testing.assert_array_equal(transform.R.get_state()[1], state)
    assert transform(torch.rand(1, 128, 128)).shape == (1, 32, 32)


def test_small_cells_are_logged_once(caplog):
    transform = RandAnatomyCell(2)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            transform(torch.rand(1, 115, 142))
            transform(torch.rand(1, 128, 128))
            RandAnatomyCell(0)(torch.rand(1, 40, 40))
    assert [record.getMessage() for record in caplog.records] == [
        "cells of level 2 have sides of (57, 71) voxels: below 64 little anatomy is seen"
    ]
