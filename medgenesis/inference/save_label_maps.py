"""Label maps in files whose names are all different."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform, SaveImage

from medgenesis.inference.written_for import claim_names
from medgenesis.io.naming import OutputNames, volume_name
from medgenesis.io.writers import WholeImageWriter, WholeNiftiWriter

logger = logging.getLogger(__name__)


class SaveLabelMapsd(MapTransform):
    """Write label maps, whole files or none, under the names that `OutputNames` gives their images.

    Args:
        keys: of the label maps, (1, *spatial) on the grid of their images.
        records: what the images are read from: names are told apart before anything is written.
        output_dir: receives `<name>_<postfix><ext>`, in folders as the images lie.
        output_postfix: behind the name.
        output_ext: .nii.gz, or of flat images .png.
        image_key: of the images, which know their files.
        options: more of MONAI's `SaveImage`, `output_dtype` for example.

    Raises:
        DatalistError: names of two images that cannot be told apart; (on call) the folder holds the label map of
            another image under one of the names.
        OutputError: (on call) a file that cannot be written; nothing half-written is left.
    """

    def __init__(
        self,
        keys: KeysCollection,
        records: Iterable[Mapping[str, Any]],
        output_dir: str | Path,
        output_postfix: str = "seg",
        output_ext: str = ".nii.gz",
        image_key: str = "image",
        **options: Any,
    ) -> None:
        super().__init__(keys)
        self.names, self.folder = OutputNames(list(records)), Path(output_dir)
        self._claimed = False
        self.image_key, self.ending = image_key, f"_{output_postfix}"
        writer = WholeNiftiWriter if ".nii" in output_ext else WholeImageWriter
        own = {"resample": False, "print_log": False, **options}
        self.save = SaveImage(output_dir=self.folder, output_ext=output_ext, writer=writer, **own)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Write them; the data stay as they are."""
        if not self._claimed:
            claim_names(self.folder, self.names)
            self._claimed = True
        for key in self.key_iterator(data):
            path = self.folder / f"{self.names.of(data, self.image_key)}{self.ending}"
            self.save(data[key], filename=str(path))
            if not data[key].any():
                logger.warning(
                    "%s: the label map is empty: nothing was found in %s. Check that it is of the kind the network "
                    "was trained on",
                    f"{path}{self.save.output_ext}",
                    volume_name(data[self.image_key]),
                )
        return dict(data)
