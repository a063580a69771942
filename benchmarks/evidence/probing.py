"""Fine-tuning that begins with the frozen readout as the network's head, of pre-trained weights and of none."""

from benchmarks.evidence.pretexts import PRETEXTS

SCRATCH, RANDOM = "scratch", "random"
PROBED = {f"{name}_probed": name for name in (SCRATCH, *PRETEXTS)}  # method in the rows -> whose weights
SCRATCH_PROBED = f"{SCRATCH}_probed"


def frozen_as(method: str) -> str:
    """The frozen arm that a method of `PROBED` begins with: its own, of scratch that of the untrained network."""
    return RANDOM if PROBED[method] == SCRATCH else PROBED[method]
