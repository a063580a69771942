"""Which ids the configs of a run use; MONAI's runner takes any other in silence."""

import inspect
import re
from collections.abc import Iterable, Mapping
from pydoc import locate

from medgenesis.bundles.unused import TRACKING
from medgenesis.cli.configs.settings import SECTIONS, SEPARATOR, Setting, mentioned
from medgenesis.errors import nearest

# Parts of ids that were renamed: old -> new
RENAMED = {"cube_rule": "crop_criterion", "cubes_per_volume": "patches_per_image", "cut": "crop"}

# Weights that a training begins with, and weights that are applied: who types one for the other is told
_WEIGHTS = {"init": "weights", "weights": "init"}

RUNNER = ("run_id", "init_id", "final_id", "meta_file", "logging_file", "tracking", "workflow_name", "workflow_type")
_OF_A_COMPONENT = ("_target_", "_disabled_", "_requires_", "_mode_", "_desc_")


def checked_id(id: str, settings: Mapping[str, Setting], among: Iterable[str] = ()) -> str:
    """An id with `::` between its parts, if the configs of a run use it.

    Args:
        id: as it was written, with `#` or `::` between its parts.
        settings: of the task's config and its overlays, see `merged_settings`.
        among: the other ids that are given.

    Raises:
        ValueError: no config uses it; the nearest ids are named, or the new name where it was renamed.
    """
    id = SEPARATOR.join(re.split("#|::", id))
    if id in RUNNER or (id in TRACKING and "tracking" in among):
        return id
    used = used_ids(settings)
    if id in used or _is_new_part(id, used):
        return id
    new = SEPARATOR.join(RENAMED.get(part, part) for part in id.split(SEPARATOR))
    if new != id and (new in used or _is_new_part(new, used)):
        raise ValueError(f"{id}: must be an id of the configs; found its old name. It was renamed to {new}.")
    if _WEIGHTS.get(id) in used:
        said = "begins with, a file or a name," if id == "weights" else "applies, a file or a name,"
        raise ValueError(
            f"{id}: must be an id that the task uses; found none of that name. The weights that this task {said} are "
            f"named by --{_WEIGHTS[id]}."
        )
    unused = "An overlay has it for other tasks. " if id in settings else ""
    raise ValueError(
        f"{id}: must be an id that the task uses; found none of that name. {unused}"
        f"{nearest(id, [*used, *_parameters_beside(id, used)])}The task's --help lists them."
    )


def used_ids(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """The settings without those of an overlay that are for other tasks: this one neither has nor mentions them."""
    needed = mentioned(settings.values()) | {*SECTIONS}
    return {id: one for id, one in settings.items() if one.of_task or one.top in needed}


def _is_new_part(id: str, used: Mapping[str, Setting]) -> bool:
    """Whether the id is a further argument of a component, or a further setting of a stage."""
    parent, _, name = id.rpartition(SEPARATOR)
    if parent not in used or used[parent].text is not None:
        return False
    if parent.startswith(f"stages{SEPARATOR}"):
        return name in used
    if f"{parent}{SEPARATOR}_target_" not in used:
        return False
    parameters = _parameters(used[f"{parent}{SEPARATOR}_target_"].text)
    return name in _OF_A_COMPONENT or parameters is None or name in parameters


def _parameters(target: str | None) -> list[str] | None:
    """Names that a component takes; None where that cannot be told, or where it takes any."""
    component = None if target is None or target.startswith("$") else locate(target)
    try:
        parameters = inspect.signature(component).parameters.values()
    except (TypeError, ValueError):
        return None
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else [p.name for p in parameters]


def _parameters_beside(id: str, used: Mapping[str, Setting]) -> list[str]:
    parent = id.rpartition(SEPARATOR)[0]
    target = used.get(f"{parent}{SEPARATOR}_target_")
    return [f"{parent}{SEPARATOR}{name}" for name in (_parameters(target.text) if target else None) or ()]
