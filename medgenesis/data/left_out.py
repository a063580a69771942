"""What is not taken into a list: collected by reason, then said once, counted and named."""

import logging
from pathlib import Path

from medgenesis.errors import first_few

logger = logging.getLogger(__name__)

_NAMED = 5


class LeftOut:
    """Files and folders that become no record, by reason.

    Args:
        root: below which their names are given.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_reason: dict[str, list[str]] = {}

    def add(self, path: Path, reason: str) -> None:
        """Note one, with why it is left out."""
        name = path.relative_to(self._root) if path.is_relative_to(self._root) else path
        self._by_reason.setdefault(reason, []).append(self._root.name or "." if str(name) == "." else name.as_posix())

    def lines(self) -> list[str]:
        """One sentence a reason: how many, why, the first of them."""
        said = []
        for reason, names in self._by_reason.items():
            said.append(f"{len(names)} left out ({reason}): {first_few(names, _NAMED)}")
        return said

    def say(self) -> None:
        """Warn of all."""
        for line in self.lines():
            logger.warning("%s: %s", self._root, line)
