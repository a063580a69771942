"""MONAI Label's folder of studies, which refuses labels that no training could use, while the viewer can still tell."""

import os
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException

from medgenesis.errors import VolumeError
from medgenesis.io.suffixes import split_suffix
from medgenesis.io.volume_reader import VolumeReader
from medgenesis.label_app.labels import check_label, said_names, write_flat
from medgenesis.label_app.results import FLAT
from medgenesis.label_app.studies import SHOWN
from medgenesis.storage.atomic import replacing

_LABELS = (*SHOWN, ".seg.nrrd")


class StudyFolder(LocalDatastore):
    """The studies of an app's folder, and the labels beside them.

    Args:
        path: the folder that `gather_studies` fills.
        classes: name -> value of the labels.
        auto_reload: notice files that are added or removed.
    """

    def __init__(self, path: str | Path, classes: dict[str, int], auto_reload: bool = False) -> None:
        self.classes = classes
        super().__init__(str(path), extensions=[f"*{suffix}" for suffix in SHOWN], auto_reload=auto_reload)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Keep a label map as it was drawn, whole or not at all.

        Raises:
            ImageNotFoundException: no such study.
            VolumeError: a final label that no training could use.
            OutputError: it cannot be written.
        """
        study = self._datastore.objects.get(image_id)
        if study is None:
            raise ImageNotFoundException(f"image: must be a study of the server; found {image_id!r}")
        suffix = max((one for one in _LABELS if label_filename.lower().endswith(one)), key=len, default="")
        if not suffix:
            raise VolumeError(
                f"label: must be {', '.join(_LABELS)}; found {Path(label_filename).name}. Save it as NIfTI or NRRD."
            )
        if split_suffix(Path(self.get_image_uri(image_id)).name)[1].lower() in FLAT and suffix not in FLAT:
            label_filename, suffix = str(write_flat(label_filename, f"{label_filename}.png")), ".png"
        tag = label_tag.value if isinstance(label_tag, DefaultLabelTag) else label_tag
        if tag == DefaultLabelTag.FINAL.value:
            check_label(
                self.get_image_uri(image_id), label_filename, self.classes, (label_info or {}).get("label_info")
            )
        folder = Path(self._datastore.label_path(tag))
        name = f"{image_id}{'.nrrd' if suffix == '.seg.nrrd' else suffix}"  # as the folder is read again
        with FileLock(self._lock_file):
            with replacing(folder / name) as beside:
                beside.write_bytes(Path(label_filename).read_bytes())
            for other in folder.iterdir():  # the same study's, saved in another format before
                if other.name != name and split_suffix(other.name)[0] == image_id:
                    other.unlink()
            info = {**(label_info or {})}
            if not said_names(info.get("label_info")):  # what a value means now, whatever the app is started with later
                info["label_info"] = [{"name": one, "idx": value} for one, value in self.classes.items()]
            info |= {"ts": int(os.stat(folder / name).st_mtime), "name": name}  # noqa: PTH116
            study.labels[tag] = DataModel(info=info, ext=split_suffix(name)[1])
            self._update_datastore_file(lock=False)
        return image_id

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Take a study that a viewer sends.

        Raises:
            VolumeError: its name is taken, or it cannot be read.
        """
        name = Path(image_id or split_suffix(Path(image_filename).name)[0]).name
        if name in self._datastore.objects:
            raise VolumeError(f"image: must have a new name; found {name!r}, a study of the server. Rename it.")
        VolumeReader().read(image_filename)
        return super().add_image(name, image_filename, image_info)

    def remove_image(self, image_id: str) -> None:
        """Refused: the file may be the only one that its owner has."""
        raise VolumeError(
            f"image: studies must be removed in their own folder, not by a viewer; found {image_id!r}. Remove the "
            "file, and start the app again."
        )
