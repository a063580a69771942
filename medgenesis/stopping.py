"""One Ctrl-C or SIGTERM ends a work of many runs, also where what it raises is swallowed on the way."""

import logging
import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

STOPPING = (signal.SIGTERM, signal.SIGINT)
_asked: int | None = None  # within `ended_by_signals`: number of the signal that has come, or 0


@contextmanager
def ended_by_signals(folder: str | Path) -> Generator[None, None, None]:
    """Within it a signal raises at once, and is noted, so that `end_if_asked` raises again at the next safe point.

    Python prints and forgets what is raised in a `__del__`, that of a data loader for example: the work would go on. A
    training within, which saves before it ends, has handlers of its own (`medgenesis.handlers.Checkpoints`).

    Args:
        folder: where finished runs are kept, for the message.

    Raises:
        KeyboardInterrupt: after a Ctrl-C.
        SystemExit: with status 143, after a SIGTERM.
    """
    global _asked
    process = os.getpid()
    previous: dict[int, Any] = {}

    def ask(number: int, frame: Any) -> None:
        if os.getpid() != process:  # a worker that was forked with this handler: as it would be without
            signal.signal(number, previous[number])
            signal.raise_signal(number)
            return
        note_signal(number)
        end_if_asked()

    _asked = 0
    try:
        if threading.current_thread() is threading.main_thread():  # only there may signal handlers be set
            for number in STOPPING:
                previous[number] = signal.getsignal(number)
                signal.signal(number, ask)
        yield
    except (KeyboardInterrupt, SystemExit):
        logger.warning("stopped; finished runs are kept in %s: the same command continues", folder)
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _asked = None


def note_signal(number: int) -> None:
    """Remember a signal for `end_if_asked`; what has a handler of its own calls it. No effect elsewhere."""
    global _asked
    if _asked is not None:
        _asked = number


def end_if_asked() -> None:
    """A safe point: raise where a signal has been noted, see `ended_by_signals`."""
    if _asked == signal.SIGINT:
        raise KeyboardInterrupt
    if _asked:
        raise SystemExit(128 + _asked)
