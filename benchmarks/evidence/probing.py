"""Fine-tuning with a head on all levels, begun at random or as the frozen readout; of a pretext's weights, or none."""

from benchmarks.evidence.pretexts import PRETEXTS

SCRATCH, RANDOM = "scratch", "random"
LEVELS = {f"{name}_levels": name for name in (SCRATCH, *PRETEXTS)}  # method in the rows -> whose weights
PROBED = {f"{name}_probed": name for name in (SCRATCH, *PRETEXTS)}  # likewise; the head begins as the frozen readout
ON_ALL_LEVELS = {**LEVELS, **PROBED}
SCRATCH_WAYS = {  # all of which a pretext must be above -> in words
    SCRATCH: "scratch",
    f"{SCRATCH}_levels": "scratch, all levels at random",
    f"{SCRATCH}_probed": "scratch, all levels as readout",
}


def frozen_as(method: str) -> str:
    """The frozen arm that a method of `PROBED` begins with: its own, of scratch that of the untrained network."""
    return RANDOM if PROBED[method] == SCRATCH else PROBED[method]
