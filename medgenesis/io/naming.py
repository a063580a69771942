"""The name by which an error calls a volume."""

import torch
from monai.data import MetaTensor


def volume_name(volume: torch.Tensor) -> str:
    """The file a volume was read from, as MONAI remembers it, or "volume"."""
    return str(volume.meta.get("filename_or_obj", "volume")) if isinstance(volume, MetaTensor) else "volume"
