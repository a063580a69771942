"""Label maps written whole or not at all."""

import logging
from pathlib import Path

import numpy as np
from monai.data import NibabelWriter, PILWriter
from torch import Tensor

from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name
from medgenesis.storage.atomic import replacing

logger = logging.getLogger(__name__)


class _Whole:
    """Writes beside and renames: a full disk or a kill leaves no part of a file."""

    def write(self, filename: str | Path, verbose: bool = False, **obj_kwargs) -> None:
        """Write the file; see the `write` of MONAI's writer."""
        self.output_dtype = _wide_enough(self.output_dtype, self.data_obj)
        with replacing(filename) as beside:
            super().write(str(beside), verbose=verbose, **obj_kwargs)
        logger.info("written: %s", filename)


def _wide_enough(dtype: np.dtype | type, values: Tensor | np.ndarray) -> np.dtype | type:
    """The whole numbers asked for, or the least ones that hold the values: more than 255 classes need 16 bits."""
    if not np.issubdtype(np.dtype(dtype), np.integer):
        return dtype
    most = int(values.max())
    return dtype if most <= np.iinfo(dtype).max else np.min_scalar_type(most)


class WholeNiftiWriter(_Whole, NibabelWriter):
    """MONAI's `NibabelWriter`, writing whole files or none; a volume of one slice stays one, (X, Y, 1).

    For `SaveImage(d)`: `writer=WholeNiftiWriter`.
    """

    def set_data_array(self, data_array: Tensor, channel_dim: int | None = 0, **options) -> None:
        """Take what is to be written; see MONAI's, which drops axes of length 1 at the end."""
        if channel_dim is not None and data_array.shape[channel_dim] == 1:
            data_array, channel_dim = data_array.select(channel_dim, 0), None
        super().set_data_array(data_array, channel_dim, spatial_ndim=None, squeeze_end_dims=False)
        if channel_dim is None:
            self.data_obj = self.data_obj[..., 0]  # the axis that MONAI adds for a channel

    @classmethod
    def resample_if_needed(
        cls, data_array: Tensor | np.ndarray, affine: Tensor | np.ndarray | None = None, target_affine=None, **options
    ) -> tuple:
        """As MONAI's, which counts an axis too few and fails where the first two axes are not those of a slice."""
        if target_affine is None and affine is not None:
            return data_array, affine
        return super().resample_if_needed(data_array, affine=affine, target_affine=target_affine, **options)


class WholeImageWriter(_Whole, PILWriter):
    """MONAI's `PILWriter`, likewise: label maps of X-rays, (1, X, Y) of whole numbers, as PNG of 8 bits, or of
    16 for more than 255 classes."""

    def set_data_array(self, data_array: Tensor, channel_dim: int | None = 0, **options) -> None:
        """Take what is to be written; see MONAI's `PILWriter.set_data_array`, which takes a volume's first slice.

        Raises:
            VolumeError: a volume, which no image holds.
        """
        spatial = tuple(data_array.shape) if channel_dim is None else tuple(data_array.shape)[1:]
        if any(side > 1 for side in spatial[2:]):
            raise VolumeError(
                f"{volume_name(data_array)}: an image file holds one slice; found a label map of {spatial}. Choose "
                ".nii.gz."
            )
        super().set_data_array(data_array, channel_dim, **options)
