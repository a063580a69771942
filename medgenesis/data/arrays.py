"""NumPy arrays, where a transform works on tensors."""

from typing import Any

import numpy as np
from monai.utils import convert_to_tensor


def as_tensor(volume: Any) -> Any:
    """A NumPy array as a plain tensor of the same memory, which says nothing of a grid; all else as it is."""
    return convert_to_tensor(volume, track_meta=False) if isinstance(volume, np.ndarray) else volume
