"""How the kernels are compiled."""

import functools

from numba import njit

# x / 0 is infinity or NaN, as in NumPy: asking for a zero first would keep loops with a division from being vectorised.
_compile = functools.partial(njit, nogil=True, error_model="numpy")


def kernel(function):
    """Compile without Python's lock, and keep the machine code on disk where there is a folder to write to."""
    try:
        return _compile(cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's home is writable
        return _compile()(function)


def part(function):
    """Compile what kernels call, into them."""
    return _compile()(function)
