"""One MONAI Bundle a released model: configurations only, no code.

`python -m monai.bundle run --config_file <bundle>/configs/pretrain.yaml …` runs one. An installed package is no place
to write weights to: `medgenesis bundle models_genesis_ct my_model` copies a bundle to a folder of one's own.
"""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent

__all__ = ["chosen", "copy", "names", "root"]


def names() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(path.parent.parent.name for path in _HERE.glob("*/configs/metadata.json"))


def root(name: str) -> str:
    """Absolute path of the bundle being run: the `bundle_root` of its configs, so that they run from any folder.

    It is the bundle whose config file stands on the command line (`--config_file`), so a copied bundle writes to the
    copy; where there is no such argument, the bundle `name` of the package.

    Raises:
        ValueError: no bundle of that name comes with the package.
    """
    for position, argument in enumerate(sys.argv):
        option, _, value = argument.partition("=")
        if option.replace("-", "_") == "__config_file":  # Fire, which MONAI reads its command line with, takes both
            value = value or next(iter(sys.argv[position + 1 :]), "")
            first = Path(value.strip("[]()").split(",")[0].strip(" '\"")).absolute()
            if first.is_file() and first.parent.name == "configs":
                return str(first.parent.parent)
    return str(_bundle(name))


def chosen(setting: str, choice: str, among: Mapping[str, Any]) -> Any:
    """What a config's setting names, of what the config has under these names.

    Raises:
        ValueError: it has none of that name.
    """
    if choice not in among:
        raise ValueError(f"{setting}: must be one of {', '.join(among)}; found {choice!r}.")
    return among[choice]


def copy(name: str, folder: str | Path) -> Path:
    """Copy the bundle `name` (configs, docs, licence; no weights) to `folder`, which must not exist or be empty.

    Raises:
        ValueError: no such bundle, or a folder that holds something.
    """
    source, target = _bundle(name), Path(folder)
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{target}: the folder must be new or empty, so that nothing is overwritten; choose another")
    ignored = shutil.ignore_patterns("models", "runs", "eval", "__pycache__")
    try:
        shutil.copytree(source, target, ignore=ignored, symlinks=True, dirs_exist_ok=True)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        reason = error.args[0][0][-1] if isinstance(error, shutil.Error) else error.strerror
        raise ValueError(
            f"{target}: the bundle could not be copied ({reason}), nothing is left there: free the disk, or choose a "
            "folder that can be written"
        ) from error
    return target


def _bundle(name: str) -> Path:
    if name not in names():
        raise ValueError(f"no bundle {name!r} comes with medgenesis; there are: {', '.join(names())}")
    return _HERE / name
