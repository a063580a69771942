"""What `medgenesis run BUNDLE [TASK] --help` shows: tasks and overlays, and the settings of a task."""

import json
import shutil
import textwrap
from collections.abc import Iterable, Sequence

from medgenesis import bundles
from medgenesis.cli.configs.folder import BundleFolder, packaged_bundle
from medgenesis.cli.configs.ids import used_ids
from medgenesis.cli.configs.settings import Setting, merged_settings

_FOR_THE_RUNNER = ("imports", "settings", "initialize", "run", "finalize")


def list_bundles() -> str:
    """Bundles that come with medgenesis."""
    rows = [(name, _description(packaged_bundle(name))) for name in bundles.names()]
    return "\n".join(["bundles:", *_table(rows)])


def list_tasks(bundle: BundleFolder) -> str:
    """Tasks and overlays of a bundle, each with the first comment of its file."""
    named = bundle.name if bundle.packaged else bundle.path
    return "\n".join(
        [
            f"usage: medgenesis run {named} TASK [OVERLAY ...] [--id value ...]",
            "",
            *_wrapped(_description(bundle)),
            "",
            "tasks:",
            *_table(bundle.tasks().items()),
            "",
            "overlays (they change settings of a task; several are merged from left to right):",
            *_table(bundle.overlays().items()),
            "",
            f"settings of a task: medgenesis run {named} TASK [OVERLAY ...] --help",
        ]
    )


def list_settings(bundle: BundleFolder, task: str, overlays: Sequence[str] = ()) -> str:
    """Settings of a task with default and comment: those at the top of the config, then the parts of its components."""
    settings = used_ids(merged_settings(bundle.files(task, overlays)))
    shown = [one for one in settings.values() if one.top not in _FOR_THE_RUNNER and one.text is not None]
    words = " ".join([bundle.name if bundle.packaged else str(bundle.path), task, *overlays])
    lines = [f"usage: medgenesis run {words} [--id value ...]", "", *_wrapped(bundle.tasks()[task]), "", "settings:"]
    lines += _blocks([one for one in shown if one.id == one.top], overlays)
    lines += ["", "parts (an argument that a component takes and that is not listed can be given as well):"]
    lines += _blocks([one for one in shown if one.id != one.top], overlays)
    lines += [
        "",
        "Values are read as Python literals, else as text: --spacing_mm [2,2,3], --cache memory, --init None.",
    ]
    return "\n".join(lines)


def _blocks(settings: Sequence[Setting], overlays: Sequence[str]) -> list[str]:
    """A table of id, default and comment below each heading."""
    width = min(max((len(one.id) for one in settings), default=0), 40)
    lines, heading = [], ""
    for one in settings:
        if one.heading != heading:
            heading = one.heading
            lines += ["", *_wrapped(f"# {heading}", "  ")] if heading else [""]
        origin = f" ({one.file})" if one.file in overlays else ""
        comment = f"  # {one.comment}" if one.comment else ""
        lines.append(f"  --{one.id:<{width}}  {one.text}{origin}{comment}")
    return lines


def _description(bundle: BundleFolder) -> str:
    try:
        metadata = json.loads((bundle.path / "configs" / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return bundle.name  # a bundle runs without it
    return f"{metadata.get('name', bundle.name)}. {metadata.get('description', '')}"


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return [line for name, text in rows for line in _wrapped(text, f"  {name:<{width}}  ")] or ["  none"]


def _wrapped(text: str, begin: str = "") -> list[str]:
    columns = shutil.get_terminal_size((110, 24)).columns
    lines = textwrap.wrap(text, max(columns - 1, 40), initial_indent=begin, subsequent_indent=" " * len(begin))
    return lines or [begin.rstrip()]
