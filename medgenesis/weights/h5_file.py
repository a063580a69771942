"""Weights in HDF5, as Keras saves them: read without Keras, and without code."""

import os
from pathlib import Path

import numpy as np
import torch

from medgenesis.errors import CheckpointError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_h5(path: str | os.PathLike) -> bool:
    """Whether a file begins as HDF5 does."""
    with Path(path).open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def read_h5(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """All arrays of numbers in a Keras file, by layer and name.

    Args:
        path: what `model.save_weights` or `model.save` has written; of several GPUs too, whose layers lie deeper.

    Returns:
        ``layer/value`` -> tensor, as ``depth_0_conv/kernel``; arrays of the optimiser by their whole path, which begins
        with ``optimizer_weights/``.

    Raises:
        CheckpointError: h5py is not installed, the file is damaged, holds no arrays, or two under one name.
    """
    try:
        import h5py
    except ImportError as error:
        raise CheckpointError(
            f"{path}: must be read by h5py; found that it is not installed. Install it: pip install "
            "'medgenesis[keras]', or h5py."
        ) from error
    found: dict[str, torch.Tensor] = {}

    def keep(name: str, item: object) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
            return
        of_optimiser = name.startswith("optimizer_weights/") or "/training/" in f"/{name}"
        key = name if of_optimiser else "/".join(name.split("/")[-2:]).removesuffix(":0")
        if key in found:
            raise CheckpointError(
                f"{path}: each layer must have its values once; found several of {key}. Save the weights of one model."
            )
        found[key] = torch.from_numpy(np.array(item[()], dtype=item.dtype.newbyteorder("=")))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(keep)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path}: must be whole; found an HDF5 file that cannot be read ({reason}). Copy or download it anew."
        ) from error
    if not found:
        raise CheckpointError(
            f"{path}: must hold arrays of weights; found an HDF5 file without any. Give what Keras' save_weights wrote."
        )
    return found
