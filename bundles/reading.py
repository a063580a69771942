"""Which config MONAI is evaluating at this moment: asked by expressions of the bundles' configs.

An expression is given no more than what it names, and the files of a family are shared by several bundles, so that
none can name its own. The callers know: MONAI's workflow or command that reads the file stands in the call stack.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai.bundle import ConfigParser, ConfigWorkflow

CONFIGS = "configs"


@dataclass(frozen=True)
class Reading:
    """What evaluates a config.

    Attributes:
        parser: the parser.
        folder: where the first of its config files stands, as it was given (links are kept); None where only the parser
            is known, used by itself.
        workflow: the workflow that the parser belongs to, if there is one.
        files: of the config, the task's own first, where a command of MONAI's has made the workflow; else none: Python
            code has made it, and no workflow keeps them.
    """

    parser: "ConfigParser"
    folder: Path | None = None
    workflow: "ConfigWorkflow | None" = None
    files: tuple[Path, ...] = ()


def root() -> str:
    """Absolute path of the bundle whose config is being read: the `bundle_root` of its configs.

    It is found where MONAI reads the file: `monai.bundle run` (also by `--args_file`), `create_workflow`,
    `ConfigWorkflow` and its subclasses, `verify_net_in_out`, `ckpt_export` and their like. The path is the one that was
    given, so that a bundle which is itself a link writes where it is linked.

    Raises:
        ValueError: the file is not known (a `ConfigParser` used by itself), or stands in no folder `configs`.
    """
    found = being_read()
    folder = None if found is None else found.folder
    if folder is None or folder.name != CONFIGS:
        where = "a config whose file is not known" if folder is None else f"a config in {folder}"
        raise ValueError(
            f"bundle_root: must be given where no file <bundle>/configs/*.yaml is read by a workflow; found {where}. "
            "Give the folder of the bundle: --bundle_root DIR, or parser['bundle_root'] = 'DIR'."
        )
    return str(folder.parent)


def being_read() -> Reading | None:
    """The config whose expression has called this, None outside of one."""
    from monai.bundle import ConfigParser, ConfigWorkflow

    parser = None
    for frame in _callers():
        owner = frame.f_locals.get("self")
        if parser is None:
            parser = owner if isinstance(owner, ConfigParser) else None
        elif isinstance(owner, ConfigWorkflow) and vars(owner).get("parser") is parser:
            return Reading(parser, _absolute(owner.config_root_path), owner, _files_of(owner))
        elif frame.f_globals.get("__name__") == "monai.bundle.scripts" and frame.f_locals.get("parser") is parser:
            return Reading(parser, _folder_of(frame.f_locals.get("config_file_", frame.f_locals.get("config_file"))))
    return None if parser is None else Reading(parser)


def config_folder(bundle_root: str | Path) -> Path:
    """Folder of the config being read, that of the bundle where its file is not known."""
    found = being_read()
    return Path(bundle_root) / CONFIGS if found is None or found.folder is None else found.folder


def _files_of(workflow: "ConfigWorkflow") -> tuple[Path, ...]:
    for frame in _callers():
        known = frame.f_locals
        if frame.f_globals.get("__name__") == "monai.bundle.scripts" and "config_file" in known:
            if any(known.get(name) is workflow for name in ("workflow_", "workflow")):
                return _paths(known["config_file"])
    return ()


def _callers() -> Iterator[FrameType]:
    frame = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _folder_of(files: Any) -> Path | None:
    """Folder of the first config file."""
    return next((_absolute(path.parent) for path in _paths(files)), None)


def _paths(files: Any) -> tuple[Path, ...]:
    """Of what MONAI's commands take: one file, several, or several joined by commas."""
    if isinstance(files, str) and not Path(files).is_file():
        files = files.split(",")
    return tuple(map(Path, [files] if isinstance(files, (str, Path)) else files or ()))


def _absolute(folder: str | Path) -> Path:
    return Path(folder).absolute()  # not `resolve`: a link stays the place that was named
