"""MONAI Label's folder of studies, which refuses labels that no training could use, while the viewer can still tell."""

import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException

from medgenesis.errors import VolumeError
from medgenesis.io.suffixes import split_suffix
from medgenesis.io.volume_reader import VolumeReader
from medgenesis.label_app.labelled import Saved
from medgenesis.label_app.labels import as_stored, check_label, said_names
from medgenesis.label_app.plain_names import plain_tag
from medgenesis.label_app.sent_files import errors_call
from medgenesis.label_app.shown_series import display_file, uid_of
from medgenesis.label_app.studies import FLAT, NAMES, SHOWN
from medgenesis.label_app.whole_list import WholeList
from medgenesis.storage.atomic import replacing, write_text
from medgenesis.storage.fingerprints import file_fingerprint

logger = logging.getLogger(__name__)

_LABELS = (*SHOWN, ".seg.nrrd")


class StudyFolder(WholeList):
    """The studies of an app's folder, and the labels beside them.

    Args:
        path: the folder that `gather_studies` fills.
        classes: name -> value of the labels.
        auto_reload: notice files that are added or removed.
        modality: CT or MR, which OHIF is told.
        turned: folder for copies of studies whose axes OHIF would count in another way.
    """

    def __init__(
        self,
        path: str | Path,
        classes: dict[str, int],
        auto_reload: bool = False,
        modality: str = "CT",
        turned: str | Path | None = None,
    ) -> None:
        self.classes, self.modality = classes, modality
        self._away: set[str] = set()
        self._several: set[tuple[str, ...]] = set()
        self.turned = Path(turned or Path(path).parent / "ohif")
        super().__init__(str(path), extensions=[f"*{suffix}" for suffix in SHOWN], auto_reload=auto_reload)

    def shown(self) -> list[str]:
        """Names of the studies that OHIF can show: volumes."""
        return sorted(name for name, one in self._datastore.objects.items() if one.image.ext.lower() not in FLAT)

    def name_of(self, uid: str) -> str | None:
        """The study of an identifier that OHIF was told, of the study or of its series."""
        parts = ("study", "series")
        return next((name for name in self.shown() if uid in [uid_of(name, part) for part in parts]), None)

    def get_image_uri(self, image_id: str) -> str:
        """The file of a study; asked for by an identifier of OHIF, in the axes that OHIF counts in."""
        name = None if image_id in self._datastore.objects else self.name_of(image_id)
        if name is None:
            return super().get_image_uri(image_id)
        return str(display_file(super().get_image_uri(name), name, self.turned))

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Studies without a final label, to be drawn next: those whose file is there, the others are named once."""
        there = []
        for name in super().get_unlabeled_images(label_tag, labels):
            file = self.get_image_uri(name)
            if Path(file).is_file():
                there.append(name)
                self._away.discard(name)
            elif name not in self._away:
                logger.warning("%s: passed over, for its file is not there (%s)", name, file)
                self._away.add(name)
        return there

    def _add_non_existing_labels(self, tag: str) -> int:
        """Those put there by hand; of several files of a study one counts, which is said once."""
        added = super()._add_non_existing_labels(tag)
        files: dict[str, list[str]] = {}
        for file in sorted(self._list_files(self._datastore.label_path(tag), self._extensions)):
            files.setdefault(self._to_id(file)[0], []).append(file)
        for name, several in files.items():
            label = self._datastore.label(name, tag)
            if label is not None and len(several) > 1 and (tag, *several) not in self._several:
                self._several.add((tag, *several))
                counts = self._filename(name, label.ext)
                logger.warning("%s: must have one %s label; %s counts of %s", name, tag, counts, ", ".join(several))
        return added

    def saved(self) -> Iterator[Saved]:
        """The final labels, with the names that were said when each was saved."""
        final = DefaultLabelTag.FINAL.value
        for name in self.get_labeled_images():
            label_id = self.get_label_by_image_id(name, final)
            image, label = self.get_image_uri(name), self.get_label_uri(label_id, final)
            info, names = self.get_label_info(label_id, final) or {}, self._names_file(name)
            states = [file.stat() if file.is_file() else None for file in map(Path, (image, label, names))]
            state = (*((one.st_size, one.st_mtime_ns) if one else None for one in states), str(info))
            yield Saved(name, state, partial(self._with_names, name, image, label, info))

    def _with_names(self, name: str, image: str, label: str, info: dict) -> tuple[str, str, dict[str, Any]]:
        return image, label, {**info, **self._kept_names(name, label)}

    def _names_file(self, image_id: str) -> Path:
        return Path(self._datastore.image_path()) / NAMES / f"{image_id}.json"

    def _keep_names(self, image_id: str, label: Path, label_info: Any) -> None:
        """Beside MONAI Label's list, which forgets a study, names and all, while its file is not there."""
        kept = {"sha256": file_fingerprint(label), "label_info": label_info}
        write_text(self._names_file(image_id), json.dumps(kept))

    def _kept_names(self, image_id: str, label: str) -> dict[str, Any]:
        """Those kept for this very label; nothing of one that was put there by hand."""
        try:
            kept = json.loads(self._names_file(image_id).read_text(encoding="utf-8"))
            return {"label_info": kept["label_info"]} if kept["sha256"] == file_fingerprint(label) else {}
        except (OSError, ValueError, KeyError):
            return {}

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Keep a label map as it was drawn, whole or not at all.

        Raises:
            ImageNotFoundException: no such study.
            VolumeError: a final label that no training could use; or the tag is no plain name.
            OutputError: it cannot be written.
        """
        tag = plain_tag(label_tag)
        image_id = self.name_of(image_id) or image_id
        study = self._datastore.objects.get(image_id)
        if study is None:
            raise ImageNotFoundException(f"image: must be a study of the server; found {image_id!r}")
        suffix = max((one for one in _LABELS if label_filename.lower().endswith(one)), key=len, default="")
        if not suffix:
            found = "".join(Path(label_filename).suffixes) or "no suffix"
            raise VolumeError(f"label: must be {', '.join(_LABELS)}; found {found}. Save it as NIfTI or NRRD.")
        image, info = self.get_image_uri(image_id), {**(label_info or {})}
        with as_stored(image, label_filename, f"label of {image_id}") as label:
            if tag == DefaultLabelTag.FINAL.value:
                check_label(image, label, self.classes, info.get("label_info"))
            suffix = label.suffix if label.suffix in FLAT else suffix
            name = f"{image_id}{'.nrrd' if suffix == '.seg.nrrd' else suffix}"  # as the folder is read again
            with FileLock(self._lock_file):
                if not said_names(info.get("label_info")):  # what a value means now, whatever the app is started with
                    info["label_info"] = [{"name": one, "idx": value} for one, value in self.classes.items()]
                if tag == DefaultLabelTag.FINAL.value:
                    self._keep_names(image_id, label, info["label_info"])  # first: they are of the label that follows
                path = self._replace(image_id, label, Path(self._datastore.label_path(tag)) / name)
                info |= {"ts": int(path.stat().st_mtime), "name": name}
                study.labels[tag] = DataModel(info=info, ext=split_suffix(name)[1])
                self._update_datastore_file(lock=False)
        return image_id

    def _replace(self, image_id: str, label: Path, path: Path) -> Path:
        with replacing(path) as beside:
            beside.write_bytes(label.read_bytes())
        for other in path.parent.iterdir():  # the same study's, saved in another format before
            if other.name != path.name and split_suffix(other.name)[0] == image_id:
                other.unlink()
        return path

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Take a study that a viewer sends.

        Raises:
            VolumeError: its name is taken or none, or it cannot be read.
        """
        name = Path(image_id or split_suffix(Path(image_filename).name)[0]).name
        if not name.strip("."):
            raise VolumeError(f"image: must have a name; found {image_id!r}. Name it.")
        if name in self._datastore.objects or self._is_taken(name):
            raise VolumeError(f"image: must have a new name; found {name!r}, a study of the server. Rename it.")
        with errors_call(name, image_filename):
            VolumeReader().read(image_filename)
        return super().add_image(name, image_filename, image_info)

    def _is_taken(self, name: str) -> bool:
        """Whether a file is there that the list lacks: a link to a scan that is away for once leads to its place."""
        return any(split_suffix(path.name)[0] == name for path in Path(self._datastore.image_path()).iterdir())

    def remove_image(self, image_id: str) -> None:
        """Refused: the file may be the only one that its owner has."""
        raise VolumeError(
            f"image: studies must be removed in their own folder, not by a viewer; found {image_id!r}. Remove the "
            "file, and start the app again."
        )
