"""Short checksums that tell one input of mining from another."""

import hashlib
import pickle
from collections.abc import Callable, Iterator

import numpy as np
import torch
from monai.data.utils import pickle_hashing
from monai.transforms import Compose
from torch import nn

_DIGITS = 16


def checksum(content: bytes | np.ndarray) -> str:
    """Of bytes, or of the values of an array."""
    content = np.ascontiguousarray(content) if isinstance(content, np.ndarray) else content
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def weights_checksum(network: nn.Module) -> str:
    """Of names, types, shapes and values of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:_DIGITS]


def preprocessing_checksum(transform: Callable) -> str:
    """Of the steps of a preprocessing and their parameters.

    Raises:
        ValueError: a step that cannot be pickled.
    """
    try:
        return pickle_hashing(list(_steps(transform))).decode()[:_DIGITS]
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"the preprocessing must be transforms that can be pickled, to be told from others ({error}): use "
            "`medgenesis.data.preprocessing` and no lambda"
        ) from error


def _steps(transform: Callable) -> Iterator[Callable]:
    """The single steps: a `Compose` itself has a random state, which is never the same."""
    if not isinstance(transform, Compose):
        yield transform
        return
    for step in transform.transforms:
        yield from _steps(step)
