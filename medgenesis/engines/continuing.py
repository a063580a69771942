"""Whether a run may be continued: what made it must be the same, but for what changes no result."""

import logging
from collections.abc import Mapping
from typing import Any

from medgenesis.errors import CheckpointError, first_few
from medgenesis.storage.fingerprints import changes

logger = logging.getLogger(__name__)

CONFIGURATION, DATALIST = "configuration", "datalist"
LISTS = ("training list", "validation list")
_SINCE_0_2 = (*LISTS, CONFIGURATION)  # checkpoints of before do not say them
_NAMED = 6  # settings, in a message
_MAY_CHANGE = "epochs, workers, cache, device, save_every, patience and the learning rate"


def check_same_run(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue a run with other settings; warn of what an old checkpoint does not say.

    Args:
        earlier: settings that the checkpoint holds.
        now: those of the trainer.

    Raises:
        CheckpointError: some differ: which, the two values, and what to do.
    """
    unsaid = [name for name in _SINCE_0_2 if name in now and name not in earlier]
    if unsaid:
        logger.warning(
            "the checkpoint is of an earlier version and does not say its %s: not compared, see to it that they are "
            "the same",
            ", ".join(unsaid),
        )
    differing = changes(earlier, {name: value for name, value in now.items() if name not in unsaid})
    if not any(name in differing for name in LISTS):  # what a list is called matters only where its content differs
        differing.pop(f"{CONFIGURATION}#{DATALIST}", None)
    if not differing:
        return
    said = [f"{name.removeprefix(f'{CONFIGURATION}#')} = {values}" for name, values in differing.items()]
    raise CheckpointError(
        f"checkpoint: must be of a run with the same settings; found other settings: {first_few(said, _NAMED, '; ')}. "
        f"Choose another output_dir, or use the old settings; {_MAY_CHANGE} may change."
    )
