"""The counter-based generator: equal to its definition in plain integers, equal in NumPy and torch, and uniform."""

import numpy as np
import pytest
import torch
from scipy import stats

from medgenesis.transforms.functional.random_bits import Stream, random_bits, uniform_below, uniform_fraction

MASK = 0xFFFFFFFF


def mix_by_hand(word: int) -> int:
    word ^= word >> 16
    word = word * 0x7FEB352D & MASK
    word ^= word >> 15
    word = word * 0x846CA68B & MASK
    return word ^ (word >> 16)


def bits_by_hand(counter: int, seed: int, stream: int) -> int:
    key = mix_by_hand((seed + stream * 0x9E3779B9) & MASK)
    second_key = mix_by_hand(key ^ MASK)
    return mix_by_hand((mix_by_hand((counter & MASK) ^ key) + second_key) & MASK)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_bits_follow_the_definition_in_plain_integers(seed):
    counters = np.array([0, 1, 2, 1000, 2**31 - 1, 2**31, 2**32 - 1, 2**32 + 5])
    for stream in Stream:
        bits = random_bits(counters, np.array([seed]), stream).view(np.uint32)
        assert bits.tolist() == [bits_by_hand(c, seed, stream) for c in counters.tolist()]


def test_numpy_and_torch_give_the_same_words_and_numbers():
    counters, seeds = np.arange(5000), np.array([[3], [2**32 - 7]])
    ours = random_bits(counters, seeds, Stream.NOISE)
    theirs = random_bits(torch.from_numpy(counters), torch.from_numpy(seeds), Stream.NOISE)
    assert ours.shape == (2, 5000)
    np.testing.assert_array_equal(ours, theirs.numpy())
    np.testing.assert_array_equal(uniform_fraction(ours), uniform_fraction(theirs).numpy())
    np.testing.assert_array_equal(uniform_below(ours, 13), uniform_below(theirs, 13).numpy())


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
@pytest.mark.parametrize("seed", [0, 1, 123456789])
def test_each_byte_is_uniform_over_consecutive_counters(seed, shift):
    bits = random_bits(np.arange(200_000), np.array([seed]), Stream.NOISE).view(np.uint32)
    assert stats.chisquare(np.bincount(bits >> shift & 255, minlength=256)).pvalue > 1e-4


def test_consecutive_seeds_are_uniform_at_one_counter():
    bits = random_bits(np.zeros(1, int), np.arange(200_000), Stream.WINDOW_SIDE).view(np.uint32)
    assert stats.chisquare(np.bincount(bits >> 24, minlength=256)).pvalue > 1e-4


@pytest.mark.parametrize("other", ["next counter", "next seed", "next stream"])
def test_neighbouring_words_are_independent(other):
    counters, seed = np.arange(200_000), np.array([42])
    first = uniform_below(random_bits(counters, seed, Stream.WINDOW_SIDE), 16)
    second = {
        "next counter": lambda: random_bits(counters + 1, seed, Stream.WINDOW_SIDE),
        "next seed": lambda: random_bits(counters, seed + 1, Stream.WINDOW_SIDE),
        "next stream": lambda: random_bits(counters, seed, Stream.WINDOW_START),
    }[other]()
    pairs = np.bincount(first * 16 + uniform_below(second, 16), minlength=256)
    assert stats.chisquare(pairs).pvalue > 1e-4


def test_fractions_and_bounded_numbers_are_uniform_and_in_range():
    bits = random_bits(np.arange(100_000), np.array([5]), Stream.NOISE)
    fraction = uniform_fraction(bits)
    assert fraction.dtype == np.float32 and fraction.min() >= 0 and fraction.max() < 1
    assert stats.kstest(fraction, "uniform").pvalue > 1e-4
    below = uniform_below(bits, np.array([7]))
    assert stats.chisquare(np.bincount(below, minlength=7)).pvalue > 1e-4 and below.max() == 6


@pytest.mark.parametrize("seed", [0, 3, 2**31, 2**32 - 1])
def test_compiled_code_gives_the_same_words_and_numbers(seed):
    hashing = pytest.importorskip("medgenesis.transforms.functional.backends.numba.hashing")
    for stream in Stream:
        keys = hashing.hash_keys(seed, int(stream))
        for counter in (0, 1, 1000, 2**31 - 1, 2**31, 2**32 - 1):
            bits = random_bits(np.array([counter]), np.array([seed]), stream)
            word = hashing.hash_word(counter, keys)
            assert int(word) == bits_by_hand(counter, seed, stream)
            assert hashing.fraction(word) == uniform_fraction(bits)[0]
            for bound in (1, 7, 2**20):
                assert hashing.below(word, bound) == uniform_below(bits, bound)[0]


def test_inputs_are_left_as_they_are():
    counters, seeds = np.arange(10, dtype=np.int32), np.array([1])
    random_bits(counters, seeds, Stream.NOISE)
    np.testing.assert_array_equal(counters, np.arange(10))
    assert seeds.tolist() == [1]
