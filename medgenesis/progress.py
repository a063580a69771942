"""How far something is that takes long, and how long it still takes: a bar on a terminal, else lines in the log."""

import logging
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LOG_EVERY = 30.0  # seconds
_SLOW = 3.0  # seconds: then the first item already says how long all will take


def track(items: Iterable[T], what: str, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Yield the items, and show on standard error how many are done and the time that is left.

    Args:
        items: what is worked through.
        what: a name for it, "phantoms".
        total: how many there are, those included that were done before; None takes the length of `items`.
        done: how many were done before.
    """
    total = len(items) if total is None else total  # type: ignore[arg-type]
    with tqdm(total=total, initial=done, desc=what, disable=bars_disabled(), leave=False) as bar:
        began = logged = time.monotonic()
        for count, item in enumerate(items, 1):
            yield item
            bar.update()
            now = time.monotonic()
            first_is_slow = count == 1 and now - began > _SLOW
            if bar.disable and (first_is_slow or now - logged > _LOG_EVERY):
                left = (now - began) / count * (total - done - count)
                logger.info("%s: %d of %d, %s left", what, done + count, total, duration(left))
                logged = now


def bars_disabled() -> bool | None:
    """tqdm's `disable`: True where messages are disabled (`--quiet`), else None: bars on a terminal only."""
    return True if logging.root.manager.disable >= logging.INFO else None


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as `1:02:03`."""
    return str(timedelta(seconds=round(seconds)))
