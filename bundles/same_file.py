"""Files of a bundle that hold the same under two names, and a warning where one of them was edited alone."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)

SAME = {"train.yaml": "finetune.yaml"}  # the name that MONAI Label looks for, and ours


def say_what_differs(configs: Path) -> None:
    """Warn where two files of a bundle's configs that are to hold the same do not.

    Args:
        configs: the folder of the configs.
    """
    for name, own in SAME.items():
        files = configs / name, configs / own
        if all(path.is_file() for path in files) and files[0].read_bytes() != files[1].read_bytes():
            logger.warning(
                "%s: differs from %s, which MONAI Label does not read; copy the one that you mean over the other",
                *files,
            )
