"""A part of a config as plain data: what is written of a run, and what runs are compared by."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

WORDS = (bool, int, float, str, type(None))
_SETTING = re.compile(r"\$@settings\['(\w+)'\]")


def without_records(value: Any) -> Any:
    """In the place of records of data their number, for `told`: a record of a run names no file of a patient."""
    records = isinstance(value, (list, tuple)) and value and all(isinstance(x, Mapping) and "image" in x for x in value)
    return f"{len(value)} records" if records else value


def plain_config(
    value: Any,
    shared: Mapping[str, Any],
    *,
    told: Callable[[Any], Any] = lambda value: value,
    without: Collection[str] = (),
) -> Any:
    """Mappings, lists, numbers and words; of another object the name of its class.

    Args:
        value: of a config.
        shared: what the tasks of the bundle share: it takes the place of `$@settings['…']`.
        told: what is said in the place of a list or a text; the same, if it is said as it is.
        without: ids that are left out, at any depth.
    """
    value = told(value)
    options = {"told": told, "without": without}
    if isinstance(value, Mapping):
        return {str(id): plain_config(part, shared, **options) for id, part in value.items() if id not in without}
    if isinstance(value, (list, tuple)):
        return [plain_config(part, shared, **options) for part in value]
    setting = _SETTING.fullmatch(value) if isinstance(value, str) else None
    if setting and setting[1] in shared:
        return plain_config(shared[setting[1]], {}, **options)
    return value if isinstance(value, WORDS) else type(value).__name__
