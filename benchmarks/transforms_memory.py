"""How much memory a call takes at its peak; `transforms.py` asks that of the batched forms."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _resident(line: str) -> int:
    """Resident memory of this process, now ("VmRSS") or at most since `_CLEAR` was written to ("VmHWM"), bytes."""
    return next(int(text.split()[1]) for text in _STATUS.read_text().splitlines() if text.startswith(line)) * 1024


def resident_bytes() -> int:
    """Memory that this process holds now (Linux)."""
    return _resident("VmRSS")


def peak_bytes(call: Callable[[], object], device: torch.device) -> float:
    """Bytes held at most during a call, beyond those held before it; what it returns counts too.

    On the processor all memory counts, NumPy's as well; nan where the system does not tell (it takes Linux and glibc).
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    try:
        ctypes.CDLL(None).malloc_trim(0)  # freed memory that the process still holds would hide what the call takes
        _CLEAR.write_text("5")  # sets the peak back
    except (OSError, AttributeError, TypeError):
        return float("nan")
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before
