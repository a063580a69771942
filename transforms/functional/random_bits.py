"""A counter-based random generator: the bits at (seed, stream, counter) are a hash of these three numbers.

Nothing is stored and nothing is drawn in order, so ten thousand windows or a cube of noise need one integer seed, and
NumPy, torch and compiled code give the same bits on every device. All arithmetic is that of 32-bit words, held in
int32 because torch has no shifts for uint32: hence the masks, which make a right shift a logical one.
"""

import enum

import numpy as np
import torch

Words = np.ndarray | torch.Tensor
_AT_ONCE = 2**15  # words that the processor's nearest cache holds with a copy of them


class Stream(enum.IntEnum):
    """What the bits are for; each use of one seed reads a stream of its own."""

    WINDOW_SIDE = 1
    WINDOW_START = 2
    WINDOW_PERMUTATION = 3
    NOISE = 4
    ELASTIC = 5


def _mix(word: Words) -> Words:
    """Scramble 32-bit words IN PLACE by an invertible hash, each input bit reaching each output bit."""
    if isinstance(word, np.ndarray) or word.device.type == "cpu":
        _mix_unsigned(np.asarray(word).view(np.uint32))
        return word
    word ^= (word >> 16) & 0xFFFF
    word *= 0x7FEB352D
    word ^= (word >> 15) & 0x1FFFF
    word *= -0x7B935975  # 0x846CA68B as a signed word
    word ^= (word >> 16) & 0xFFFF
    return word


def _mix_unsigned(word: np.ndarray) -> None:
    """The same on unsigned words, a cache's worth at a time: twice as fast."""
    flat, shifted = word.ravel(order="K"), np.empty(min(word.size, _AT_ONCE), np.uint32)
    for start in range(0, flat.size, _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        spare = shifted[: len(part)]
        part ^= np.right_shift(part, 16, out=spare)
        part *= 0x7FEB352D
        part ^= np.right_shift(part, 15, out=spare)
        part *= 0x846CA68B
        part ^= np.right_shift(part, 16, out=spare)


def _as_type(values: Words, name: str) -> Words:
    return values.to(getattr(torch, name)) if isinstance(values, torch.Tensor) else values.astype(name)


def random_bits(counters: Words, seeds: Words, stream: Stream) -> Words:
    """Hash counters into 32 random bits each.

    Args:
        counters: any shape, integers; only their low 32 bits count.
        seeds: integers that broadcast against `counters` and have at least one axis, one seed a cube.
        stream: what the bits are for.

    Returns:
        int32 words of the broadcast shape.

    Notes:
        word = mix(mix(counter XOR key) + key'), where key = mix(seed + stream * 0x9E3779B9), key' = mix(NOT key) and
        mix is the two-multiplication finaliser "lowbias32" (C. Wellons, Prospecting for hash functions, 2018). It is
        keyed twice because one round alone would give two seeds the same words in another order.
    """
    key = _as_type(seeds, "int64") + int(stream) * 0x9E3779B9
    key = _mix(_as_type(key, "int32"))
    second_key = _mix(~key)
    word = _mix(_as_type(counters, "int32") ^ key)
    word += second_key
    return _mix(word)


def uniform_fraction(bits: Words) -> Words:
    """Turn words into float32 fractions in [0, 1), all multiples of 2^-24 and so exact."""
    whole = bits >> 8
    whole &= 0xFFFFFF
    fractions = _as_type(whole, "float32")
    fractions *= 2.0**-24
    return fractions


def uniform_below(bits: Words, bound: Words | int) -> Words:
    """Turn words into int64 numbers in 0 .. bound - 1, each likely alike to within bound / 2^32."""
    numbers = _as_type(bits, "int64") & 0xFFFFFFFF  # a new array, whatever the type was before
    numbers = numbers * bound
    numbers >>= 32
    return numbers
