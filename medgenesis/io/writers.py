"""Label maps written whole or not at all."""

from pathlib import Path

from monai.data import NibabelWriter, PILWriter
from torch import Tensor

from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name
from medgenesis.storage.atomic import replacing


class _Whole:
    """Writes beside and renames: a full disk or a kill leaves no part of a file."""

    def write(self, filename: str | Path, verbose: bool = False, **obj_kwargs) -> None:
        """Write the file; see the `write` of MONAI's writer."""
        with replacing(filename) as beside:
            super().write(str(beside), verbose=verbose, **obj_kwargs)


class WholeNiftiWriter(_Whole, NibabelWriter):
    """MONAI's `NibabelWriter`, writing whole files or none.

    For `SaveImage(d)`: `writer=WholeNiftiWriter`.
    """


class WholeImageWriter(_Whole, PILWriter):
    """MONAI's `PILWriter`, likewise: label maps of X-rays, (1, X, Y) of whole numbers up to 255, as PNG."""

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
