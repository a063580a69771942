"""The first results of an inference on a page that anybody can open: volumes to scroll through, images as they are."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from medgenesis.data.orientation import ReorientVolumesd
from medgenesis.data.pipeline import preprocessing
from medgenesis.errors import DOMAIN_ERRORS
from medgenesis.io.naming import volume_name
from medgenesis.io.preprocessed import is_preprocessed
from medgenesis.report import Report, flat_image
from medgenesis.report.run_made import add_run_record

logger = logging.getLogger(__name__)

_RECORD = ("cube", "series", "intensity")  # what says, beside the file, how an image is read


class ShowLabelMapsd(MapTransform):
    """Write `results.html` with the first label maps over their images (NiiVue, offline), 1 to 3 MB each.

    The images are read again: what the network saw may be of another spacing.

    Args:
        keys: of the label maps, (1, *spatial) on the grid of their images.
        output_dir: receives the page.
        intensity: see `medgenesis.data.preprocessing`; a record's own goes first.
        names: value -> name of the labels.
        most: images on the page; 0 writes none.
        image_key: of the images, which know their files.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path,
        intensity: str | Mapping[str, Any],
        names: Mapping[Any, str] | None = None,
        most: int = 3,
        image_key: str = "image",
    ) -> None:
        super().__init__(keys)
        self.path, self.most, self.image_key = Path(output_dir) / "results.html", most, image_key
        known = {int(value): str(name) for value, name in (names or {}).items()}
        self.names = [known.get(value, str(value)) for value in range(1, 1 + max(known, default=0))]
        self._read = preprocessing(intensity=intensity)
        self._turn = next(step for step in self._read.transforms if isinstance(step, ReorientVolumesd))
        self._report = Report("Label maps", "Research software: not for diagnosis or treatment.")
        self._shown = 0

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Show them; the data stay as they are."""
        for key in self.key_iterator(data):
            if self._shown < self.most:
                self._shown += 1
                try:
                    self._show(data, key)
                except DOMAIN_ERRORS as error:  # the label map itself is written
                    logger.warning("not on the page: %s", error)
                if self._shown == self.most:
                    logger.info("written: %s, the first %d results", self.path, self.most)
        return dict(data)

    def _show(self, data: Mapping[str, Any], key: str) -> None:
        file = volume_name(data[self.image_key])
        image = self._read({"image": file, **{name: data[name] for name in _RECORD if name in data}})["image"]
        if is_preprocessed(file):  # whose geometry the plan says, not the file
            image.affine = data[key].affine
            image = self._turn({"image": image})["image"]
        found = self._turn({"image": data[key]})["image"]
        volume, label = image[0].numpy(force=True), found[0].numpy(force=True).astype(int)
        caption = f"image {self._shown}: {', '.join(self.names) or 'labels'}"  # a file may be named for a patient
        if volume.ndim == 2:
            self._report.image(flat_image(volume, label, longest=400), caption)
        else:
            self._report.viewer(volume, image.affine.numpy(force=True), {"found": label}, caption, self.names)
        page = self._report.copy()  # more images may follow
        add_run_record(page, self.path.parent)
        page.write(self.path)
