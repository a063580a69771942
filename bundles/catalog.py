"""The bundles that come with the package: their names, where they stand, and a copy of one."""

import shutil
from pathlib import Path

from medgenesis.bundles.links import content

_HERE = Path(__file__).resolve().parent
_WRITTEN_BY_RUNS = ("models", "runs", "eval", "__pycache__")


def names() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(path.parent.parent.name for path in _HERE.glob("*/configs/metadata.json"))


def path(name: str) -> Path:
    """Folder of a bundle that comes with the package. To run or change one, `copy` it.

    Raises:
        ValueError: no bundle of that name comes with the package.
    """
    if name not in names():
        raise ValueError(f"bundle: must be one of {', '.join(names())}; found {name!r}. Choose one of them.")
    return _HERE / name


def copy(name: str, folder: str | Path) -> Path:
    """Copy the bundle `name` (configs, docs, licence; no weights) to `folder`, which must not exist or be empty.

    The copy holds whole files: what a link leads to, not the link.

    Raises:
        ValueError: no such bundle, or a folder that holds something.
    """
    source, target = path(name), Path(folder)
    if target.exists() and any(target.iterdir()):
        raise ValueError(
            f"{target}: must be new or empty, so that nothing is overwritten; found files in it. Choose another folder."
        )
    ignored = shutil.ignore_patterns(*_WRITTEN_BY_RUNS)
    try:
        shutil.copytree(source, target, ignore=ignored, copy_function=_copy_content, dirs_exist_ok=True)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        reason = error.args[0][0][-1] if isinstance(error, shutil.Error) else error.strerror
        raise ValueError(
            f"{target}: cannot be written ({reason}); nothing is left there. Free the disk, or choose a folder that "
            "can be written."
        ) from error
    return target


def _copy_content(source: str, target: str) -> None:
    Path(target).write_bytes(content(Path(source)))
