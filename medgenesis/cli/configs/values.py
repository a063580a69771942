"""Settings of a command line: the value as MONAI's runner will read it, and what it would misread in silence."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.cli.configs.ids import checked_id
from medgenesis.cli.configs.settings import merged_settings

logger = logging.getLogger(__name__)

_PYTHON = {"true": "True", "false": "False", "null": "None"}


def split_setting(text: str) -> tuple[str, str]:
    """`id=value` in two; `-` in an id is `_`, as for MONAI's runner.

    Raises:
        ValueError: no id, or no value.
    """
    id, equals, value = text.partition("=")
    id = id.strip().replace("-", "_")
    if not equals or not id:
        raise ValueError(f"--set: must be ID=VALUE; found {text!r}. Write --set width=8, for example.")
    return id, checked_value(id, value)


def parsed_settings(given: Sequence[str], configs: Sequence[Path]) -> dict[str, Any]:
    """Settings `id=value` of a run, each read as MONAI's runner reads it: a Python literal, else a string.

    Args:
        given: the settings.
        configs: config files of the run: the task's, then overlays.

    Raises:
        ValueError: an id that no config uses, or a value that would be misread.
    """
    from fire.parser import DefaultParseValue

    settings, pairs = merged_settings(configs), dict(split_setting(text) for text in given)
    return {checked_id(id, settings, pairs): DefaultParseValue(value) for id, value in pairs.items()}


def checked_value(id: str, text: str) -> str:
    """The text to hand to MONAI's runner for a value: the same, but for None, which the runner would drop.

    Raises:
        ValueError: a word of YAML that the runner takes for a string, or a `#`, behind which it drops the rest.
    """
    from fire.parser import DefaultParseValue

    if text in _PYTHON:
        raise ValueError(
            f"{id}: must be written as in Python, for this is taken for a text; found {text}. Write {_PYTHON[text]}."
        )
    parsed = DefaultParseValue(text)
    if parsed is None:
        logger.info("%s: None is handed over as $None; MONAI's runner ignores a plain None", id)
        return "$None"
    if isinstance(parsed, str) and parsed != text and text.lstrip().startswith(parsed) and "#" in text:
        raise ValueError(
            f"{id}: must hold no # outside of quotation marks, behind which MONAI's runner drops the rest; "
            f'found {text!r}. Write "{text!r}".'
        )
    return text
