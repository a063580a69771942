"""The order of samples: a function of (seed, epoch), whoever asks, and wherever the asking starts."""

import numpy as np
import pytest
from scipy.stats import chisquare
from torch.utils.data import DataLoader

from medgenesis.data.sampler import SampleKey, SeededSampler


def order(sampler, epoch, start=0):
    sampler.set_position(epoch, start)
    return [key.index for key in sampler]


def ranked(rank, world_size, length=23, **settings):
    sampler = SeededSampler(length, seed=5, **settings)
    sampler.rank, sampler.world_size = rank, world_size
    return sampler


def test_an_epoch_is_a_permutation_that_the_keys_name():
    sampler = SeededSampler(50, seed=1)
    sampler.set_position(4)
    keys = list(sampler)
    assert all(isinstance(key, SampleKey) and type(key.index) is int for key in keys)
    assert {key.epoch for key in keys} == {4}
    assert sorted(key.index for key in keys) == list(range(50))
    assert len(sampler) == 50


def test_order_is_a_function_of_seed_and_epoch_only():
    used, fresh = SeededSampler(50, seed=1), SeededSampler(50, seed=1)
    for epoch in range(3):
        order(used, epoch)
        np.random.random(7)  # noqa: NPY002  the global generator must play no part
    assert order(used, 3) == order(fresh, 3)
    others = [order(SeededSampler(50, seed=1), 2), order(SeededSampler(50, seed=2), 3), order(fresh, 4)]
    assert all(other != order(fresh, 3) for other in others)


def test_every_position_is_as_likely_for_every_sample():
    sampler = SeededSampler(8, seed=0)
    first = np.bincount([order(sampler, epoch)[0] for epoch in range(1600)], minlength=8)
    assert chisquare(first).pvalue > 1e-4


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("start", [0, 1, 6, 7])
def test_a_start_in_the_middle_continues_exactly_and_once(start, world_size):
    sampler = ranked(world_size - 1, world_size)
    whole, following = order(sampler, 2), order(sampler, 3)
    assert order(sampler, 2, start) == whole[start:]
    sampler.set_position(2, start)
    list(sampler)
    sampler.epoch = 3
    assert [key.index for key in sampler] == following  # the offset held for one epoch alone


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_ranks_share_an_epoch_evenly_without_overlap(world_size):
    samplers = [ranked(rank, world_size) for rank in range(world_size)]
    parts = [order(sampler, 6) for sampler in samplers]
    assert {len(part) for part in parts} == {23 // world_size} == {len(sampler) for sampler in samplers}
    joined = sum(parts, [])
    assert len(set(joined)) == len(joined)
    left_out = [set(range(23)) - set(sum((order(s, epoch) for s in samplers), [])) for epoch in range(20)]
    assert all(len(left) == 23 % world_size for left in left_out)
    if 23 % world_size:
        assert len(set.union(*left_out)) > 5  # not always the same sample


def test_together_the_ranks_see_what_one_process_sees():
    alone = order(ranked(0, 1), 6)
    parts = [order(ranked(rank, 2), 6) for rank in range(2)]
    assert [index for pair in zip(*parts, strict=True) for index in pair] == alone[:22]


def test_weights_mix_data_sets_in_proportion():
    """30 samples of one data set and 10 of another, drawn half and half: 300 epochs of 40 draws."""
    weights = [1 / 30] * 30 + [1 / 10] * 10
    sampler = SeededSampler(40, seed=3, weights=weights)
    drawn = np.concatenate([order(sampler, epoch) for epoch in range(300)])
    assert chisquare(np.bincount(drawn, minlength=40), 12000 * np.array(weights) / 2).pvalue > 1e-4
    assert abs((drawn < 30).mean() - 0.5) < 4 * np.sqrt(0.25 / 12000)


def test_weight_zero_is_never_drawn_and_draws_are_seeded():
    sampler = SeededSampler(5, seed=3, weights=[0, 1, 1, 0, 1])
    drawn = [order(sampler, epoch) for epoch in range(50)]
    assert set(sum(drawn, [])) == {1, 2, 4}
    assert drawn == [order(SeededSampler(5, seed=3, weights=[0, 2, 2, 0, 2]), epoch) for epoch in range(50)]
    assert order(sampler, 7, start=2) == drawn[7][2:]


def test_without_shuffling_and_fixed():
    assert [order(SeededSampler(6, shuffle=False), epoch) for epoch in (0, 3)] == [list(range(6))] * 2
    fixed = SeededSampler(6, shuffle=False, fixed=True)
    fixed.set_position(9)
    assert list(fixed) == [SampleKey(0, index) for index in range(6)]


class Keys:
    def __len__(self):
        return 23

    def __getitem__(self, key):
        return tuple(key)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_hands_the_keys_to_its_workers_in_order(workers):
    sampler = SeededSampler(23, seed=1)
    loader = DataLoader(Keys(), 4, sampler=sampler, num_workers=workers, drop_last=True, collate_fn=list)
    seen = []
    for epoch in range(2):
        sampler.set_position(epoch)
        seen += [key for batch in loader for key in batch]
    wanted = [(epoch, index) for epoch in range(2) for index in order(sampler, epoch)[:20]]
    assert seen == wanted


def test_seeds_do_not_give_shifted_copies():
    """(seed, epoch + 1) and (seed + 1, epoch) are two orders like any other: one place in 100 is alike by chance."""
    a = np.concatenate([order(SeededSampler(100, seed=s), 1) for s in range(10)])
    b = np.concatenate([order(SeededSampler(100, seed=s + 1), 0) for s in range(10)])
    assert (a == b).mean() < 0.05


@pytest.mark.parametrize(
    ("length", "weights"),
    [(0, None), (3, [1, 1]), (3, [1, -1, 1]), (3, [0, 0, 0]), (3, [1, np.nan, 1]), (2, [[1, 1]]), (1, [np.inf])],
)
def test_what_is_refused(length, weights):
    with pytest.raises(ValueError, match="length|weights"):
        SeededSampler(length, weights=weights)
