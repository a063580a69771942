"""MONAI Label's list of studies and labels, written whole: a full disk or a kill leaves the list of before."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import LocalDatastore

from medgenesis.storage.atomic import write_text


class WholeList(LocalDatastore):
    """A store whose list is replaced, not overwritten; a process that watches it reads the new one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._auto_reload:
            self._handler.on_moved = self._on_replaced

    def _on_replaced(self, event: Any) -> None:
        if event.dest_path == self._datastore_config_path:
            self._init_from_datastore_file()  # which passes over its own

    def _update_datastore_file(self, lock: bool = True) -> None:
        with FileLock(self._lock_file) if lock else nullcontext():
            content = self._datastore.model_dump(exclude={"base_path"})
            write_text(self._datastore_config_path, json.dumps(content, indent=2, default=str))
            self._config_ts = Path(self._datastore_config_path).stat().st_mtime
