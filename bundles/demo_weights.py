"""The small weights that come with the CT bundles, trained on computed phantoms alone: found, and said loudly."""

import logging
from pathlib import Path

from medgenesis.bundles.reading import config_folder

logger = logging.getLogger(__name__)

_DEMO = {"model.pt": "phantom_demo.pt", "pretrained.pt": "phantom_demo_pretrained.pt"}


def is_demo(name: str) -> bool:
    """Whether a file of that name holds weights of the phantom."""
    return name in _DEMO.values()


def weights_or_demo(bundle_root: str | Path, name: str) -> str:
    """The weights that a task applies: `models/<name>` of the bundle; where there is none yet, those of the phantom.

    The latter show what a task writes, on `medgenesis phantom data`; a warning says so. Trainings never begin with them
    unless they are named.

    Args:
        bundle_root: the bundle.
        name: `model.pt` or `pretrained.pt`.

    Returns:
        the path; that of the absent file where there are none of the phantom either.
    """
    own = Path(bundle_root) / "models" / name
    if own.is_file():
        return str(own)
    for folder in (Path(bundle_root), config_folder(bundle_root).parent):
        demo = folder / "models" / _DEMO[name]
        if demo.is_file():
            logger.warning(
                "%s: is not there, so %s is applied. THESE WEIGHTS KNOW COMPUTED PHANTOMS ALONE: on images of patients "
                "their answers mean nothing. Train first, or name weights: --weights FILE",
                own,
                demo,
            )
            return str(demo)
    return str(own)
