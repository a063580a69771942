"""What a network answers must fit: broadcasting would train on other pairs of voxels, without a word."""

from typing import Any

from torch import Tensor

_DEEP = "Turn deep supervision off: one answer an image is learnt from."
_FIRST = "Put a module around it that returns the first alone: ViTAutoEnc also gives the states of its layers."


def check_restored(restored: Any, target: Tensor) -> None:
    """Raise ValueError where `restored` is not one tensor of the target's shape (B, C, *spatial)."""
    _check_one(restored)
    if restored.shape != target.shape:
        deep = restored.ndim == target.ndim + 1
        raise ValueError(
            f"target: must have the shape of what is restored, {tuple(restored.shape)}; found {tuple(target.shape)}. "
            f"{_DEEP if deep else 'Give a network with as many out_channels, or of slabs the middle slice alone.'}"
        )


def check_features(features: Any, images: Tensor) -> None:
    """Raise ValueError where `features` are not (B, D, *spatial) of images (B, C, *spatial)."""
    _check_one(features)
    if features.ndim != images.ndim or features.shape[2:] != images.shape[2:] or len(features) != len(images):
        wanted = ", ".join(map(str, (len(images), "D", *images.shape[2:])))
        deep = features.ndim == images.ndim + 1
        raise ValueError(
            f"network: must give a feature vector a voxel, ({wanted}); found {tuple(features.shape)}. "
            f"{_DEEP if deep else 'Give an encoder-decoder, without a head that pools.'}"
        )


def _check_one(answer: Any) -> None:
    if not isinstance(answer, Tensor):
        beside = isinstance(answer, (list, tuple)) and not all(isinstance(one, Tensor) for one in answer)
        raise ValueError(
            f"network: must give one tensor (B, C, *spatial); found a {type(answer).__name__} of {len(answer)}. "
            f"{_FIRST if beside else _DEEP}"
        )
