"""What a training says that it has written."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)


def say_written(*paths: str | Path | None) -> None:
    """Log the files that are there; None, and a file that is not, are left out, and the line where nothing remains."""
    found = [str(path) for path in paths if path is not None and Path(path).is_file()]
    if found:
        logger.info("written: %s", ", ".join(found))
