"""The small weights that come with the bundles, trained on computed phantoms alone: found, and said loudly."""

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medgenesis.bundles.reading import config_folder
from medgenesis.storage.atomic import write_text

logger = logging.getLogger(__name__)

_DEMO = {"model.pt": "phantom_demo.pt", "pretrained.pt": "phantom_demo_pretrained.pt"}
ORIGIN: Mapping[str, Any] = MappingProxyType(
    {  # kept in the files, so that one of another name is known, too
        "name": "phantom-demo",
        "title": "medgenesis, small weights of computed phantoms",
        "address": None,
        "terms": "Apache-2.0",
        "commercial_use": True,
        "expects": "what medgenesis phantom writes",
        "learnt_from": "16 computed phantoms",
        "source": {},
    }
)
SAID = "THESE WEIGHTS KNOW COMPUTED PHANTOMS ALONE: on images of patients their answers mean nothing"
NOTE = "DEMO_WEIGHTS.txt"  # beside results


def is_demo(name: str) -> bool:
    """Whether a file of that name holds weights of the phantom."""
    return name in _DEMO.values()


def knows_phantoms_alone(origin: Mapping[str, Any] | None) -> bool:
    """Whether weights of that origin are those of the phantom, as they come; what was trained from them is not."""
    return origin is not None and origin.get("name") == ORIGIN["name"] and not origin.get("trained_further")


def note_demo_weights(folder: str | Path, source: str, origin: Mapping[str, Any] | None) -> None:
    """Say in a folder of results, in a file of its own, that they are of the phantom's weights.

    Where other weights are applied later, the file stays and says since when: earlier results may still lie there.

    Args:
        folder: of the results.
        source: the file of the weights that are applied.
        origin: kept in them.

    Raises:
        OutputError: the file cannot be written.
    """
    note = Path(folder) / NOTE
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    if knows_phantoms_alone(origin):
        write_text(note, f"{now}: what is in this folder was made with {Path(source).name}.\n{SAID}.\n")
    elif note.is_file():
        earlier = note.read_text(encoding="utf-8")
        write_text(note, f"{earlier}{now}: other weights; what was written since is of those.\n")


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
                "%s: is not there, so %s is applied. %s. Train first, or name weights: --weights FILE", own, demo, SAID
            )
            return str(demo)
    return str(own)
