"""Which kernels work on a tensor: compiled ones (numba) in the processor's memory, torch's own operations elsewhere.

Both give the same result. Without numba, or with NUMBA_DISABLE_JIT=1, torch's serve everywhere.
"""

import functools
import logging
from types import ModuleType

import torch

_logger = logging.getLogger(__name__)


@functools.cache
def _compiled() -> ModuleType | None:
    """The compiled kernels; imported when first needed, because importing numba takes half a second."""
    try:
        import numba
    except ImportError as error:
        _logger.warning("numba cannot be imported (%s): the transforms run in torch, several times slower", error)
        return None
    if numba.config.DISABLE_JIT:
        return None
    from medgenesis.transforms.functional.backends import numba as kernels

    return kernels


def compiled_for(volume: torch.Tensor) -> ModuleType | None:
    """The compiled kernels if they can work on this tensor, else None."""
    return _compiled() if volume.device.type == "cpu" else None


def as_float(volume: torch.Tensor) -> torch.Tensor:
    """The tensor, detached and contiguous, as single or double precision: what compiled kernels read."""
    dtype = volume.dtype if volume.dtype in (torch.float32, torch.float64) else torch.float32
    return volume.detach().to(dtype).contiguous()
