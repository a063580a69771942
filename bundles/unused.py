"""Settings that nothing uses: MONAI's runner takes any `--id value`, also one that is mistyped, without a word."""

import difflib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from medgenesis.bundles.reading import Reading, being_read
from medgenesis.bundles.shared import SETTINGS, Settings

logger = logging.getLogger(__name__)

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEPT = ("_meta_", "imports", "displayable_configs", "detector")  # read by MONAI and MONAI Label by their names


def refuse_unused_settings(settings: Settings) -> None:
    """Refuse a setting of the config being read that no config of the bundle has and nothing refers to.

    Called first by the configs' `initialize`. An overlay that several tasks share may hold what one of them has no use
    for; any other setting without effect in this task, though another task has one of that name, is a warning.

    Args:
        settings: of the bundle, as from `settings`.

    Raises:
        ValueError: there is one; the nearest names are given.
    """
    reading = being_read()
    unused = [] if reading is None else _unused(reading)
    if not unused:
        return
    configs = _configs(settings.folder)
    known = {id for config in configs.values() for id in config}
    for id in unused:
        owners = [name for name, config in configs.items() if id in config]
        if not owners and id in settings:
            users = " or ".join(f"--{user}" for user in _users(reading.parser.get(), f"settings['{id}']"))
            remedy = f"Change it there{', or type ' + users if users else ', for the tasks that use it'}."
            raise ValueError(f"{id}: must be the name of a setting of a config; found it in {SETTINGS} alone. {remedy}")
        if not owners:
            near = difflib.get_close_matches(id, known, n=3)
            remedy = f"Did you mean {' or '.join(near)}?" if near else "Leave it out."
            raise ValueError(
                f"{id}: must be a setting that a config of the bundle has; found none of that name. {remedy}"
            )
        if all(reading.parser[id] != configs[name][id] for name in owners):
            logger.warning("%s: has no effect in this task; it is a setting of %s", id, ", ".join(owners))


def _unused(reading: Reading) -> list[str]:
    """The top-level ids of a config that it never refers to, and that MONAI does not read by their names."""
    config = reading.parser.get()
    used = {*_KEPT, *_properties(), *_referred_to(config)}
    if reading.workflow is not None:
        used |= {reading.workflow.init_id, reading.workflow.run_id, reading.workflow.final_id}
    return [id for id in config if id not in used]


def _properties() -> set[str]:
    from monai.bundle.properties import InferProperties, TrainProperties
    from monai.bundle.utils import ID_SEP_KEY

    return {one["id"].split(ID_SEP_KEY)[0] for one in (*TrainProperties.values(), *InferProperties.values())}


def _referred_to(part: Any) -> Iterator[str]:
    from monai.bundle.reference_resolver import ReferenceResolver

    if isinstance(part, Mapping):
        part = part.values()
    elif isinstance(part, str):
        for id in ReferenceResolver.match_refs_pattern(part):
            yield ReferenceResolver.split_id(id)[0]
        return
    elif not isinstance(part, (list, tuple)):
        return
    for value in part:
        yield from _referred_to(value)


def _users(part: Any, what: str, id: str = "") -> Iterator[str]:
    """The nested ids whose expression holds `what`."""
    if isinstance(part, (Mapping, list)):
        for key, value in part.items() if isinstance(part, Mapping) else enumerate(part):
            yield from _users(value, what, f"{id}#{key}" if id else str(key))
    elif isinstance(part, str) and part.startswith("$") and what in part:
        yield id


def _configs(folder: Path) -> dict[str, dict[str, Any]]:
    """Content of each YAML file of a bundle by its name, the ids of nested overrides by what they begin with."""
    configs = {}
    for path in sorted(path for path in folder.glob("*.yaml") if path.name != SETTINGS):
        content = yaml.load(path.read_text(encoding="utf-8"), _LOADER)
        if isinstance(content, dict):
            configs[path.name] = {id.replace("::", "#").split("#")[0]: value for id, value in content.items()}
    return configs
