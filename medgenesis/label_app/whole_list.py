"""MONAI Label's list of studies and labels, written whole: a full disk or a kill leaves the list of before."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.exception import LabelNotFoundException

from medgenesis.label_app.plain_names import plain_tag
from medgenesis.storage.atomic import write_text


class WholeList(LocalDatastore):
    """A store whose list is replaced, not overwritten; a process that watches it reads the new one.

    What a viewer says of a label is looked for under a plain tag alone (`plain_tag`).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._auto_reload:
            self._handler.on_moved = self._on_replaced

    def _list_files(self, path: str, patterns: Any) -> dict[str, str]:
        """Without what is being written beside, whose names begin with a dot."""
        return {name: file for name, file in super()._list_files(path, patterns).items() if not name.startswith(".")}

    def _on_any_event(self, event: Any) -> None:
        if not Path(event.src_path).name.startswith("."):
            super()._on_any_event(event)

    def _on_replaced(self, event: Any) -> None:
        if event.dest_path == self._datastore_config_path:
            self._init_from_datastore_file()  # which passes over its own
        elif not Path(event.dest_path).name.startswith("."):
            super()._on_any_event(event)

    def _update_datastore_file(self, lock: bool = True) -> None:
        with FileLock(self._lock_file) if lock else nullcontext():
            content = self._datastore.model_dump(exclude={"base_path"})
            write_text(self._datastore_config_path, json.dumps(content, indent=2, default=str))
            self._config_ts = Path(self._datastore_config_path).stat().st_mtime

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The file of a label; "" where there is none."""
        return super().get_label_uri(label_id, plain_tag(label_tag))

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """What was said of a label."""
        return super().get_label_info(label_id, plain_tag(label_tag))

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Say more of a label."""
        super().update_label_info(label_id, plain_tag(label_tag), info)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove the file of a label; of a link, that was put there by hand, the link alone.

        Raises:
            VolumeError: the tag is none.
            LabelNotFoundException: there is no such label.
        """
        tag = plain_tag(label_tag)
        label = self._datastore.label(label_id, tag)
        if label is None:
            raise LabelNotFoundException(f"label: must be one of the server; found {label_id!r} with the tag {tag!r}")
        (Path(self._datastore.label_path(tag)) / self._filename(label_id, label.ext)).unlink(missing_ok=True)
        if not self._auto_reload:
            self.refresh()
