"""The bundles that come with the package: their names, where they stand, and a copy of one."""

import re
import shutil
from contextlib import suppress
from pathlib import Path

from medgenesis.bundles.demo_weights import is_demo
from medgenesis.bundles.links import content
from medgenesis.bundles.model_card import write_model_card
from medgenesis.bundles.same_file import SAME
from medgenesis.storage.atomic import cannot_be_written

_HERE = Path(__file__).resolve().parent
_WRITTEN_BY_RUNS = ("runs", "eval", "__pycache__")


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
    """Copy the bundle `name` (configs, docs, licence, the weights of the phantom) to `folder`, which must not exist or
    be empty.

    The copy holds whole files: what a link leads to, not the link. Only train.yaml, the name that MONAI Label looks
    for, is a link to finetune.yaml beside it, so that an edit reaches both; a whole file where links are not possible.
    README.md is written, docs/README.md with the header of Hugging Face.

    Raises:
        ValueError: no such bundle, or a folder that holds something.
        OutputError: the folder cannot be written; nothing is left there.
    """
    source, target = path(name), Path(folder)
    if target.exists() and any(target.iterdir()):
        raise ValueError(
            f"{target}: must be new or empty, so that nothing is overwritten; found files in it. Choose another folder."
        )
    try:
        shutil.copytree(source, target, ignore=_ignored, copy_function=_copy_content, dirs_exist_ok=True)
        for link, own in SAME.items():
            _link(target / "configs" / link, own)
        write_model_card(target)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, shutil.Error):  # of several files, each told as a text
            known = re.match(r"\[Errno (\d+)\] ([^:]*)", str(error.args[0][0][-1]))
            error.errno, error.strerror = (int(known[1]), known[2]) if known else (None, str(error))
        raise cannot_be_written(target, error, "; nothing is left there") from error
    return target


def _ignored(folder: str, names: list[str]) -> set[str]:
    if Path(folder).name == "models":
        return {name for name in names if not is_demo(name)}
    return {*_WRITTEN_BY_RUNS} & {*names}


def _link(path: Path, name: str) -> None:
    """Put a link to the file of that name beside it in the place of a file that holds the same."""
    beside = path.with_name(f".{path.name}")
    if not path.is_file() or path.read_bytes() != path.with_name(name).read_bytes():
        return
    with suppress(OSError, NotImplementedError):  # Windows asks for a right that few users have
        beside.symlink_to(name)
        beside.replace(path)


def _copy_content(source: str, target: str) -> None:
    Path(target).write_bytes(content(Path(source)))
