"""The settings of config files with what a reader of the files sees: the value as it is written, and its comment."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from medgenesis.bundles.links import content
from medgenesis.bundles.shared import SETTINGS

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SEPARATOR = "::"  # of the parts of an id; MONAI also takes #
SECTIONS = ("initialize", "run", "finalize")
_SHARED = re.compile(r"""\$@\w+\[['"](\w+)['"]\]""")  # how a task takes one of them: $@settings['width']


@dataclass(frozen=True)
class Setting:
    """One id of a config.

    Args:
        id: its name; of a part the names from the outermost on, `train::trainer::max_epochs`.
        text: the value as it is written; of a mapping, or a list of mappings, None.
        comment: what stands behind it on its line.
        heading: the comment above the block that it stands in.
        file: name of the config without its ending.
        of_task: the task has the outermost name, not an overlay alone.
    """

    id: str
    text: str | None
    comment: str = ""
    heading: str = ""
    file: str = ""
    of_task: bool = True

    @property
    def top(self) -> str:
        """The outermost name."""
        return self.id.partition(SEPARATOR)[0]


def merged_settings(paths: Sequence[Path]) -> dict[str, Setting]:
    """Settings of a task's config and its overlays as MONAI's runner merges them: a later file replaces an id whole.

    A value that a task takes from the bundle's `settings.yaml` is shown as that value.

    Args:
        paths: the task's config, then overlays.

    Raises:
        ValueError: a file that is no YAML, or no mapping; an overlay that changes what the task does not have, or
            nothing of it.
    """
    merged: dict[str, Setting] = {}
    tops: dict[Path, set[str]] = {path: set() for path in paths}
    for path in paths:
        for id, parts in _read(path):
            tops[path].add(parts[0].top)
            _check_place(id, merged, path, paths[0])
            for replaced in [known for known in merged if known.startswith(id + SEPARATOR)]:
                del merged[replaced]
            merged |= {part.id: _in_its_block(part, merged.get(part.id)) for part in parts}
    merged = {id: replace(one, of_task=one.top in tops[paths[0]]) for id, one in merged.items()}
    for overlay in paths[1:]:
        _check_effect(overlay, tops[overlay], merged, paths[0])
    return _with_shared(merged, paths[0].parent / SETTINGS)


def first_comment(path: Path) -> str:
    """The first line of a file where it is a comment: what the config is for."""
    line = content(path).decode("utf-8").partition("\n")[0].strip()
    return line.lstrip("# ") if line.startswith("#") else ""


def _check_place(id: str, merged: Mapping[str, Setting], overlay: Path, task: Path) -> None:
    """Refuse a part of what the task has not, or has as one value: the overlay is for another task."""
    above = id.split(SEPARATOR)[:-1]
    while len(above) > 1 and SEPARATOR.join(above) not in merged:
        above.pop()
    holder = merged.get(SEPARATOR.join(above))
    if above and (holder is None or not (holder.text is None or holder.text.startswith("["))):
        found = "has none" if holder is None else f"has {holder.text!r} there"
        raise ValueError(
            f"OVERLAY: {overlay.stem} must stand behind a task whose {SEPARATOR.join(above)!r} has parts; found "
            f"{task.stem}, which {found}. Choose a task that it is for. It says: {first_comment(overlay)}"
        )


def _check_effect(overlay: Path, tops: set[str], merged: Mapping[str, Setting], task: Path) -> None:
    """Refuse an overlay of which the task neither has nor mentions anything."""
    of_task = [one for one in merged.values() if one.of_task]
    if not tops & {*SECTIONS, *(one.top for one in of_task), *mentioned(of_task)}:
        raise ValueError(
            f"OVERLAY: {overlay.stem} must stand behind a task that uses one of its settings; found {task.stem}, which "
            f"has no {', '.join(sorted(tops))}. Choose a task that it is for. It says: {first_comment(overlay)}"
        )


def mentioned(settings: Iterable[Setting]) -> set[str]:
    """The outermost names that values refer to."""
    return set(re.findall(r"[@%](\w+)", " ".join(setting.text or "" for setting in settings)))


def _in_its_block(part: Setting, earlier: Setting | None) -> Setting:
    """An overlay's value stays below the heading, and beside the comment, of the task's."""
    if earlier is None:
        return part
    return replace(part, heading=earlier.heading, comment=part.comment or earlier.comment)


def _with_shared(settings: Mapping[str, Setting], path: Path) -> dict[str, Setting]:
    if not path.is_file():
        return dict(settings)
    root, lines = _composed(path)
    shared = {
        key.value: Setting(key.value, _as_written(value, lines), _comment(value.end_mark, lines), file=path.stem)
        for key, value in root.value
    }

    def looked_up(setting: Setting) -> Setting:
        found = _SHARED.fullmatch(setting.text or "")
        if found is None or found[1] not in shared:
            return setting
        origin = shared[found[1]]
        return replace(setting, text=origin.text, comment=setting.comment or origin.comment, file=origin.file)

    return {id: looked_up(setting) for id, setting in settings.items()}


def _read(path: Path) -> Iterator[tuple[str, list[Setting]]]:
    """Each key of a config file with its settings: itself, then its parts."""
    root, lines = _composed(path)
    heading = ""
    for key, value in root.value:
        heading = _heading_above(key.start_mark.line, lines, heading)
        id = SEPARATOR.join(re.split("#|::", key.value.removeprefix("+")))
        parts = _parts(id, key, value, lines)
        yield id, [replace(part, heading=heading, file=path.stem) for part in parts]


def _composed(path: Path) -> tuple[yaml.MappingNode, list[str]]:
    """The mapping that a file holds, and its lines."""
    text = content(path).decode("utf-8")
    try:
        root = yaml.compose(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise ValueError(
            f"{path}: must be YAML; found a mistake: {' '.join(str(error).split())}. Correct it there."
        ) from error
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(f"{path}: must hold settings, name: value; found none. Copy the bundle anew.")
    return root, text.splitlines()


def _parts(id: str, key: yaml.Node | None, value: yaml.Node, lines: Sequence[str]) -> list[Setting]:
    """A node as a setting, and those below it."""
    below: list[tuple[str, yaml.Node | None, yaml.Node]] = []
    if isinstance(value, yaml.MappingNode):
        below = [(name.value, name, node) for name, node in value.value]
    elif isinstance(value, yaml.SequenceNode) and not value.flow_style:
        below = [(str(index), None, node) for index, node in enumerate(value.value)]
    if not below:
        return [Setting(id, _as_written(value, lines), _comment(value.end_mark, lines))]
    parts = [Setting(id, None, "" if key is None else _comment(key.end_mark, lines))]
    for name, name_node, node in below:
        parts += _parts(f"{id}{SEPARATOR}{name}", name_node, node, lines)
    return parts


def _as_written(node: yaml.Node, lines: Sequence[str]) -> str:
    """A value as it is written in the file; null, true and false as they are written on a command line."""
    if isinstance(node, yaml.ScalarNode):
        kind = node.tag.rpartition(":")[2]
        if kind == "bool":
            return str(node.value.lower() in ("true", "yes", "on"))
        return "None" if kind == "null" else node.value
    start, end = node.start_mark, node.end_mark
    text = (
        [*lines[start.line : end.line], lines[end.line][: end.column]] if end.line < len(lines) else lines[start.line :]
    )
    return " ".join([text[0][start.column :], *text[1:]]).strip()


def _comment(mark: yaml.Mark, lines: Sequence[str]) -> str:
    """What stands behind a place on its line."""
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    found = re.match(r":?\s+#\s*(.*)", rest)
    return found[1].strip() if found else ""


def _heading_above(line: int, lines: Sequence[str], current: str) -> str:
    """The comment directly above a line; behind an empty line without a comment a block has no heading."""
    first = line
    while first > 0 and lines[first - 1].startswith("#"):
        first -= 1
    if first == 0 or first == line:  # the comment that opens the file says what the file is for
        return "" if line > 0 and not lines[line - 1].strip() else current
    return " ".join(text.lstrip("# ") for text in lines[first:line])
