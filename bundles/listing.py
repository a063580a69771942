"""What a bundle's folder offers: its tasks, the overlays for them, the settings of each with default and comment."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medgenesis.bundles.shared import SETTINGS

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_TYPED = ("imports", "bundle_root", "settings", "initialize", "run", "finalize")
_SHARED = "$@settings['"


@dataclass(frozen=True)
class Setting:
    """One setting of a task.

    Attributes:
        id: its name on the command line.
        default: its value; a string that begins with "$" or "@" is computed from other settings.
        comment: what the config says beside it, or "".
        shared: whether the default stands in the bundle's `settings.yaml`.
    """

    id: str
    default: Any
    comment: str = ""
    shared: bool = False


def tasks(bundle: str | Path) -> list[str]:
    """Names of the configs of a bundle's folder that run by themselves."""
    return [path.stem for path in _files(bundle) if "bundle_root" in _ids(path)]


def overlays(bundle: str | Path) -> list[str]:
    """Names of the configs of a bundle's folder that are given behind another."""
    return [path.stem for path in _files(bundle) if "bundle_root" not in _ids(path)]


def settings_of(bundle: str | Path, task: str) -> list[Setting]:
    """The settings of a task in the order of its config: what is no component and is not nested."""
    folder = Path(bundle) / "configs"
    shared = {one.id: one for one in _read(folder / SETTINGS)}
    found = []
    for one in _read(folder / f"{task}.yaml"):
        if isinstance(one.default, str) and one.default.startswith(_SHARED):
            common = shared[one.default.removeprefix(_SHARED).removesuffix("']")]
            one = Setting(one.id, common.default, one.comment or common.comment, shared=True)
        if one.id not in _NOT_TYPED:
            found.append(one)
    return found


def _files(bundle: str | Path) -> list[Path]:
    return [path for path in sorted((Path(bundle) / "configs").glob("*.yaml")) if path.name != SETTINGS]


def _ids(path: Path) -> set[str]:
    return set(yaml.load(path.read_text(encoding="utf-8"), _LOADER))


def _read(path: Path) -> Iterator[Setting]:
    text = path.read_text(encoding="utf-8")
    lines, values = text.splitlines(), yaml.load(text, _LOADER)
    for key, node in yaml.compose(text, _LOADER).value:
        value = values[key.value]
        if isinstance(node, yaml.CollectionNode) and not node.flow_style:
            continue  # a component, or a list of expressions
        rest = lines[node.end_mark.line][node.end_mark.column :].strip()
        yield Setting(key.value, value, rest.removeprefix("#").strip() if rest.startswith("#") else "")
