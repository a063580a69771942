"""Label maps written whole or not at all."""

from pathlib import Path

from monai.data import NibabelWriter

from medgenesis.atomic import replacing


class WholeNiftiWriter(NibabelWriter):
    """MONAI's `NibabelWriter`, writing beside and renaming: a full disk or a kill leaves no part of a file.

    For `SaveImage(d)`: `writer=WholeNiftiWriter`.
    """

    def write(self, filename: str | Path, verbose: bool = False, **obj_kwargs) -> None:
        """Write the file; see MONAI's `NibabelWriter.write`."""
        with replacing(filename) as beside:
            super().write(str(beside), verbose=verbose, **obj_kwargs)
