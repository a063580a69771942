"""Settings that nothing uses: MONAI's runner takes any `--id value`, also one that is mistyped, without a word."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from medgenesis.bundles.reading import Reading
from medgenesis.bundles.shared import SETTINGS, Settings
from medgenesis.errors import nearest

logger = logging.getLogger(__name__)

SEPARATOR = "#"  # of the parts of an id; MONAI also takes ::
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# ids that come with --tracking
TRACKING = ("tracking_uri", "experiment_name", "run_name", "is_not_rank0", "save_execute_config", "wandb_project")
_NOTES = ("kept",)  # says with what the weights were made: another network has no use for a width that is noted alone
SET_BY_COMMAND = "set_by_command"  # of a config: ids that a command sets for every task, whether one uses them or not
_CHOICE = re.compile(r"\bchosen\('\w+', @(\w+), @(\w+)\)")  # by a setting, of a mapping
# read by MONAI, MONAI Label and `check_settings` by their names
_KEPT = ("_meta_", "imports", "displayable_configs", "detector", "checks", *TRACKING)


def refuse_unused_settings(reading: Reading, settings: Settings) -> None:
    """Refuse a setting of the config being read that no config of the bundle has and nothing refers to.

    Any other setting without effect in this task, that was typed, is a warning. What the files say is none: an overlay
    that several tasks share may hold what one of them has no use for.

    Args:
        reading: what evaluates the config.
        settings: of the bundle, as from `settings`.

    Raises:
        ValueError: there is one; the nearest names are given.
    """
    unused, parts = unused_ids(reading, but_for=_NOTES), _parts_without_user(reading)
    if not unused and not parts:
        return
    contents = _contents(settings.folder)
    _refuse_unknown_parts(parts, {id for content in contents.values() for id in _ids(content)})
    configs = {name: _at_the_top(content) for name, content in contents.items()}
    known = {id for config in configs.values() for id in config}
    own = _as_in_files(reading)
    noted = set(unused) - {*unused_ids(reading)}
    for id in unused:
        owners = [name for name, config in configs.items() if id in config]
        if id in noted and not owners:  # a user's own, which is to be kept with the weights
            continue
        if not owners and id in settings:
            users = " or ".join(f"--{user}" for user in _users(reading.parser.get(), f"settings['{id}']"))
            remedy = f"Change it there{', or type ' + users if users else ', for the tasks that use it'}."
            raise ValueError(f"{id}: must be the name of a setting of a config; found it in {SETTINGS} alone. {remedy}")
        if not owners:
            raise ValueError(
                f"{id}: must be a setting that a config of the bundle has; found none of that name. "
                f"{nearest(id, known)}Correct the name, or leave it out."
            )
        # of a workflow that Python code has made the files are not known: any of the bundle may have said it
        said = [one[id] for one in ([own] if own else configs.values()) if id in one]
        if _text(reading.parser[id]) not in map(_text, said):
            _warn(id, owners, reading.files)


def unused_ids(reading: Reading, but_for: Collection[str] = (), *, chosen_alone: bool = True) -> list[str]:
    """The top-level ids of a config that it never refers to, that MONAI does not read by their names, and that the
    command which runs it has not set itself (`SET_BY_COMMAND`).

    Args:
        reading: what evaluates the config.
        but_for: ids whose references do not count.
        chosen_alone: of a mapping of which `medgenesis.bundles.chosen` takes one entry, no other one counts.
    """
    config = reading.parser.get()
    users = {id: value for id, value in (_as_chosen(config) if chosen_alone else config).items() if id not in but_for}
    passed = {SET_BY_COMMAND, *config.get(SET_BY_COMMAND, ())}
    used = {*_KEPT, *passed, *_properties(), *(id.partition(SEPARATOR)[0] for id in _referred_to(users))}
    workflow = reading.workflow  # None where a part of a config is asked for alone, as a label app does
    used |= {workflow.init_id, workflow.run_id, workflow.final_id} if workflow else {"initialize", "run", "finalize"}
    return [id for id in config if id not in used]


def _as_chosen(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with no other entry of its `optimizers` or the like than the one that is taken."""
    taken = dict(config)
    for choice, among in _CHOICE.findall("\n".join(_texts(config))):
        entries = config.get(among)
        if isinstance(entries, Mapping) and config.get(choice) in entries:
            taken[among] = entries[config[choice]]
    return taken


def _parts_without_user(reading: Reading) -> list[str]:
    """The ids inside of plain mappings (`train#dataloader`) that nothing refers to, alone or with their mapping.

    Parts of a component are its arguments, which it refuses itself.
    """
    config = reading.parser.get()
    used = set(_referred_to(config))
    shielded = {id for one in used for id in _beginnings(one)}  # what a reference goes through or into
    mappings = [(id, value) for id, value in config.items() if id not in (*_KEPT, "stages")]
    found = []
    while mappings:
        id, value = mappings.pop()
        if not isinstance(value, Mapping) or "_target_" in value or id in used:
            continue
        for key, part in value.items():
            below = f"{id}{SEPARATOR}{key}"
            if below not in shielded:
                found.append(below)
            mappings.append((below, part))
    return found


def _refuse_unknown_parts(parts: list[str], known: set[str]) -> None:
    for id in sorted(set(parts) - known):
        raise ValueError(
            f"{id}: must be a part that a config of the bundle has; found none of that name. "
            f"{nearest(id, known)}Correct the name, or leave it out."
        )


def _ids(part: Any, id: str = "") -> Iterator[str]:
    """Of every part of plain mappings: train, train#dataloader, …"""
    if isinstance(part, Mapping):
        for key, value in part.items():
            below = SEPARATOR.join([*([id] if id else []), _normal(key)])
            yield below
            yield from _ids(value, below)


def _beginnings(id: str) -> Iterator[str]:
    parts = id.split(SEPARATOR)
    return (SEPARATOR.join(parts[:length]) for length in range(1, len(parts) + 1))


def _properties() -> set[str]:
    from monai.bundle.properties import InferProperties, TrainProperties
    from monai.bundle.utils import ID_SEP_KEY

    return {one["id"].split(ID_SEP_KEY)[0] for one in (*TrainProperties.values(), *InferProperties.values())}


def _referred_to(part: Any) -> Iterator[str]:
    from monai.bundle.reference_resolver import ReferenceResolver

    for text in _texts(part):
        for id in ReferenceResolver.match_refs_pattern(text):
            yield _normal(id)


def reached_from(config: Mapping[str, Any], id: str) -> set[str]:
    """The top-level ids of a config that one of them refers to, directly or through others.

    A reference to a part (`train#dataset#data`) goes on from that part alone, as MONAI evaluates no more.
    """
    reached: set[str] = set()
    new = {id}
    while new:
        new = {*_referred_to([_part_of(config, one) for one in new])} - reached
        reached |= new
    return {one.partition(SEPARATOR)[0] for one in reached}


def _part_of(config: Mapping[str, Any], id: str) -> Any:
    """What stands at an id; of one that goes on inside of an object, as an expression makes it, that one."""
    part: Any = config
    for key in id.split(SEPARATOR):
        if isinstance(part, Mapping):
            part = part.get(key)
        elif isinstance(part, list) and key.isdecimal() and int(key) < len(part):
            part = part[int(key)]
        else:
            break
    return part


def _texts(part: Any) -> Iterator[str]:
    """Of every part, at any depth."""
    if isinstance(part, Mapping):
        part = part.values()
    elif isinstance(part, str):
        yield part
        return
    elif not isinstance(part, (list, tuple)):
        return
    for value in part:
        yield from _texts(value)


def _users(part: Any, what: str, id: str = "") -> Iterator[str]:
    """The nested ids whose expression holds `what`."""
    if isinstance(part, (Mapping, list)):
        for key, value in part.items() if isinstance(part, Mapping) else enumerate(part):
            yield from _users(value, what, f"{id}#{key}" if id else str(key))
    elif isinstance(part, str) and part.startswith("$") and what in part:
        yield id


def _as_in_files(reading: Reading) -> dict[str, Any]:
    """The config without what was typed, where its files are known."""
    from monai.bundle import ConfigParser

    return ConfigParser.load_config_files(reading.files)


def _text(value: Any) -> str:
    """Of a setting, to be compared: the parser writes :: where a file may say #."""
    return repr(value).replace("::", SEPARATOR)


def _warn(id: str, owners: list[str], files: Sequence[Path]) -> None:
    if files and files[0].name in owners:  # of a network, a loss or a schedule that another has taken the place of
        logger.warning("%s: has no effect here; nothing of this task refers to it as its config is now", id)
    else:
        logger.warning("%s: has no effect in this task; it is a setting of %s", id, ", ".join(owners))


def _contents(folder: Path) -> dict[str, dict[str, Any]]:
    """Content of each YAML file of a bundle by its name."""
    paths = sorted(path for path in folder.glob("*.yaml") if path.name != SETTINGS)
    contents = {path.name: yaml.load(path.read_text(encoding="utf-8"), _LOADER) for path in paths}
    return {name: content for name, content in contents.items() if isinstance(content, dict)}


def _at_the_top(content: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their names; those of a part (`train#trainer#max_epochs`) by what they begin with."""
    return {_normal(id).partition(SEPARATOR)[0]: value for id, value in content.items()}


def _normal(id: Any) -> str:
    return str(id).replace("::", SEPARATOR)
