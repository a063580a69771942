"""The device that a viewer's request names."""

import logging
import re
from typing import Any

import torch

_KNOWN = re.compile(r"cpu|cuda(:\d{1,3})?")

logger = logging.getLogger(__name__)


def device_of(asked: Any) -> str | None:
    """The device, as PyTorch names it; None where none is asked for.

    Without CUDA the processor answers, as in the bundles, which is said.

    Args:
        asked: cpu, cuda or cuda:1, or a list whose first is one of them.

    Raises:
        ValueError: something else, or a GPU that is not there.
    """
    if not asked:
        return None
    first = asked[0] if isinstance(asked, (list, tuple)) else asked
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = isinstance(first, str) and _KNOWN.fullmatch(first) is not None
    if not known or (count and int(first.partition(":")[2] or 0) >= count):
        there = ["cpu", *["cuda"][:count], *(f"cuda:{number}" for number in range(count))]
        raise ValueError(f"device: must be {', '.join(there)}; found {first!r}. Ask for one of them, or for none.")
    if first != "cpu" and not count:
        logger.warning("device: %s was asked for, and there is no CUDA: the processor answers", first)
        return "cpu"
    return first
