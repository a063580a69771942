"""Names that viewers send and that become parts of paths: nothing in them may lead to another folder."""

import re
from typing import Any

from monailabel.interfaces.datastore import DefaultLabelTag

from medgenesis.errors import VolumeError

_PLAIN = re.compile(r"[\w-]+")


def is_plain(name: str) -> bool:
    """Whether a name has letters, digits, `_` and `-` alone."""
    return _PLAIN.fullmatch(name) is not None


def plain_tag(tag: Any) -> str:
    """The tag of a label, which is the name of its folder.

    Raises:
        VolumeError: it could be another folder than one of the labels'.
    """
    name = str(tag.value if isinstance(tag, DefaultLabelTag) else tag)
    if not is_plain(name):
        raise VolumeError(
            f"tag: must be a plain name such as final or original; found {name!r}. Use letters, digits, _ and -."
        )
    return name
