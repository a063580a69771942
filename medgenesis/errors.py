"""The few errors of this domain. Each is also the built-in error that a caller would expect."""


class VolumeError(ValueError):
    """A scan (or its label map) cannot be used: unreadable, not finite, too small, on another grid, several series."""


class DatalistError(ValueError):
    """A datalist is malformed, names absent files, or puts one patient on both sides of a split."""


class IntensityRangeError(ValueError):
    """Voxels lie outside the intensity range that a step declares, z-scored data given to a [0, 1] pipeline say."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read, belongs to another network, or cannot be written."""


class TrainingError(RuntimeError):
    """Training cannot go on: the loss is not finite, or the output has collapsed to a constant."""
