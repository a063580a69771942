"""The hash of `random_bits` for compiled code: the same words from the same seed, stream and counter.

Every step is cast back to 32 bits, because numba widens integers, and wide words halve the speed of vector units. Left
to LLVM (no inline="always"), the functions are inlined and loops over them vectorised, three times as fast.

numba does not see when a function that a cached kernel calls has changed: remove __pycache__ after editing this file.
"""

import numpy as np

from medgenesis.transforms.functional.backends.numba.jit import part

word = np.uint32


@part
def _mix(bits):
    bits = word(bits ^ word(bits >> word(16)))
    bits = word(bits * word(0x7FEB352D))
    bits = word(bits ^ word(bits >> word(15)))
    bits = word(bits * word(0x846CA68B))
    return word(bits ^ word(bits >> word(16)))


@part
def hash_keys(seed, stream):
    """The two keys of a stream."""
    key = _mix(word(np.uint64(seed) + np.uint64(stream) * np.uint64(0x9E3779B9)))
    return key, _mix(word(~key))


@part
def hash_word(counter, keys):
    """32 random bits."""
    return _mix(word(_mix(word(word(counter) ^ keys[0])) + keys[1]))


@part
def below(bits, bound):
    """A number in 0 .. bound - 1."""
    return np.int64((np.uint64(bits) * np.uint64(bound)) >> np.uint64(32))


@part
def fraction(bits):
    """A float32 fraction in [0, 1)."""
    return np.float32(bits >> word(8)) * np.float32(2.0**-24)
