"""RandCAiDDistortion: what is drawn against the description in words, what is done against plain indexing."""

import numpy as np
import pytest
import torch
from scipy import stats

from medgenesis.errors import VolumeError
from medgenesis.transforms import BatchedCAiDDistortion, RandCAiDDistortion

DRAWS, SIDE = 10_000, 224


@pytest.fixture(scope="module")
def drawn():
    """What 10 000 images of 224 x 224 were drawn, by the defaults."""
    return RandCAiDDistortion().sample(np.random.RandomState(0), (DRAWS, 3, SIDE, SIDE))


@pytest.fixture(scope="module")
def always():
    """always(kind): the same for one that is always of this kind, on any shape."""

    def draw(kind, shape=(SIDE, SIDE), count=2000, **settings):
        rates = {name: float(name == kind) for name in ("inner", "outer", "swap")}
        transform = RandCAiDDistortion(rates, **settings)
        return transform.sample(np.random.RandomState(1), (count, 1, *shape))

    return draw


def sides_of(blocks):
    """First voxels and sides of the blocks that are there."""
    starts, sides = blocks[..., 0, :], blocks[..., 1, :] - blocks[..., 0, :]
    there = (sides > 0).all(axis=-1)
    return starts[there], sides[there], there


def test_branches_have_their_frequencies(drawn):
    expected = np.array([0.30, 0.05, 0.30, 0.35])
    assert stats.chisquare(np.bincount(drawn.kinds, minlength=4), DRAWS * expected).pvalue > 1e-4


def test_a_branch_has_blocks_or_pairs_and_none_has_neither(drawn):
    blocks = sides_of(drawn.blocks)[2].sum(axis=1)
    pairs = sides_of(drawn.pairs)[2].all(axis=2).sum(axis=1)
    assert (blocks[drawn.kinds <= 1] >= 1).all() and (blocks[drawn.kinds > 1] == 0).all()
    assert (pairs == np.where(drawn.kinds == 2, 10, 0)).all()


@pytest.mark.parametrize("kind", ["inner", "outer"])
def test_after_each_block_there_is_one_more_in_nine_of_ten_cases_up_to_ten(always, kind):
    counts = sides_of(always(kind, count=DRAWS).blocks)[2].sum(axis=1)
    expected = np.append(0.9 ** np.arange(9) * 0.1, 0.9**9)
    assert stats.chisquare(np.bincount(counts, minlength=11)[1:], DRAWS * expected).pvalue > 1e-4 and counts.min() == 1
    mean, all_ten = (1 - 0.9**10) / 0.1, 0.9**9
    assert f"{mean:.2f}" == "6.51" and f"{all_ten:.3f}" == "0.387", "the figures of the specification"
    assert abs(counts.mean() - mean) < 4.5 * counts.std() / DRAWS**0.5
    assert stats.binomtest(int((counts == 10).sum()), DRAWS, all_ten).pvalue > 1e-4


@pytest.mark.parametrize("kind, low, high", [("inner", 10, 70), ("outer", 154, 174)])
def test_sides_and_places_of_blocks_are_uniform_both_ends_included(always, kind, low, high):
    starts, sides, _ = sides_of(always(kind).blocks)
    for axis in range(2):
        side, start = sides[:, axis], starts[:, axis]
        assert (side.min(), side.max()) == (low, high)
        assert stats.chisquare(np.bincount(side)[low:]).pvalue > 1e-4
        assert start.min() == 3 and (start + side).max() == SIDE - 3
        places = (start - 3 + np.random.RandomState(axis).random(len(start))) / (SIDE - 6 - side + 1)
        assert stats.kstest(places, "uniform").pvalue > 1e-4
    for one, other in ((sides[:, 0], sides[:, 1]), (starts[:, 0], starts[:, 1]), (sides[:-1, 0], sides[1:, 0])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4.5 / len(one) ** 0.5


def pair_by_the_book(rng):
    """Top left of two patches and their sides: drawn again until they do not overlap."""
    h, w = rng.integers(10, 16, 2)
    while True:
        one, other = ((rng.integers(3, SIDE - h - 3 + 1), rng.integers(3, SIDE - w - 3 + 1)) for _ in range(2))
        if abs(one[0] - other[0]) >= h or abs(one[1] - other[1]) >= w:
            return *one, *other, h, w


def test_pairs_of_patches_are_drawn_as_by_the_book_and_never_overlap(always):
    pairs = always("swap").pairs
    starts, ends = pairs[:, :, :, 0], pairs[:, :, :, 1]
    sides = ends - starts
    assert (sides[:, :, 0] == sides[:, :, 1]).all(), "both patches of a pair have one size"
    for axis in range(2):
        counts = np.bincount(sides[:, :, 0, axis].ravel())
        assert counts[:10].sum() == 0 and len(counts) == 16 and stats.chisquare(counts[10:]).pvalue > 1e-4
    assert starts.min() == 3 and ends.max() == SIDE - 3
    assert (abs(starts[:, :, 0] - starts[:, :, 1]) >= sides[:, :, 0]).any(axis=-1).all()
    rng = np.random.default_rng(0)
    book = np.array([pair_by_the_book(rng) for _ in range(10_000)])
    ours = np.concatenate([starts[:, :, 0], starts[:, :, 1], sides[:, :, 0]], axis=-1).reshape(-1, 6)
    for measure in (lambda b: b[:, 0], lambda b: b[:, 3], lambda b: abs(b[:, 0] - b[:, 2]) + abs(b[:, 1] - b[:, 3])):
        assert stats.ks_2samp(measure(book), measure(ours)).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(96, 150), (448, 448), (100, 90, 120)])
def test_other_sides_scale_the_numbers_on_their_axis_and_round_them(always, shape):
    for kind, published in (("inner", (10, 70)), ("outer", (50, 70)), ("swap", (10, 15))):
        params = always(kind, shape, count=400)
        starts, sides, _ = sides_of(params.pairs if kind == "swap" else params.blocks)
        for axis, side in enumerate(shape):
            low, high, margin = ((2 * number * side + 224) // 448 for number in (*published, 3))
            if kind == "outer":
                low, high = side - high, side - low
            assert (sides[:, axis].min(), sides[:, axis].max()) == (low, high)
            assert starts[:, axis].min() == margin and (starts + sides)[:, axis].max() == side - margin


@pytest.mark.parametrize("shape", [(90, 100), (81, 82, 84)])
def test_what_is_done_is_what_was_drawn(shape):
    """Blocks black, or all but the windows, or the patches of pairs read from the image as it came."""
    batch, low = torch.rand(10, 2, *shape) + 2, 2.0
    batched = BatchedCAiDDistortion({"inner": 0.3, "outer": 0.3, "swap": 0.3}, value_range=(low, 3)).set_random_state(0)
    out, params = batched(batch), batched.params
    assert set(params.kinds) == {0, 1, 2, 3}
    for b, kind in enumerate(params.kinds):
        expected = torch.full_like(batch[b], low) if kind == 1 else batch[b].clone()
        for block in params.blocks[b]:
            box = (slice(None), *map(slice, *block.tolist()))
            expected[box] = low if kind == 0 else batch[b][box]
        for pair in params.pairs[b]:
            one, other = ((slice(None), *map(slice, *patch.tolist())) for patch in pair)
            expected[one], expected[other] = batch[b][other], batch[b][one]
        assert torch.equal(out[b], expected)
        black = torch.from_numpy(params.expand()[b]).expand_as(out[b])
        assert (out[b][black] == low).all() and (kind == 2 or torch.equal(out[b][~black], batch[b][~black]))


def test_other_settings(always):
    params = always("inner", blocks=3, p_stop=0.0)
    assert (sides_of(params.blocks)[2].sum(axis=1) == 3).all()
    assert (sides_of(always("inner", p_stop=1.0).blocks)[2].sum(axis=1) == 1).all()
    assert sides_of(always("swap", swaps=4).pairs)[2].all(axis=2).sum(axis=1).tolist() == [4] * 2000
    assert (
        RandCAiDDistortion(dict.fromkeys(("inner", "outer", "swap"), 0.0)).sample(np.random, (9, 1, 90, 90)).kinds == 3
    ).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2, 1), (5, 3)])
def test_of_pairs_that_cannot_be_apart_nothing_is_swapped(always, shape):
    pairs = always("swap", shape, count=50, least_side=1).pairs
    starts, sides, there = sides_of(pairs)
    assert (starts >= 0).all() and (starts + sides <= shape).all()
    assert (there[:, :, 0] == there[:, :, 1]).all() and there.any() == (shape != (1, 1))


def test_what_is_too_small_is_named_before_anything_is_drawn():
    transform = RandCAiDDistortion().set_random_state(0)
    state = transform.R.get_state()[1].copy()
    for shape in ((80, 200), (200, 80), (96, 96, 80)):
        with pytest.raises(VolumeError, match=r"each side .* at least 81 voxels, .*; found \(.*80.*lower least_side"):
            transform(torch.rand(1, *shape))
    np.testing.assert_array_equal(transform.R.get_state()[1], state)
    transform(torch.rand(1, 81, 81))
    RandCAiDDistortion(least_side=32)(torch.rand(1, 64, 64, 32))
