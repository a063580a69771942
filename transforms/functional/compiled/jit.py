"""How the kernels are compiled."""

from numba import njit


def kernel(function):
    """Compile without Python's lock, and keep the machine code on disk where there is a folder to write to."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's home is writable
        return njit(nogil=True)(function)
