"""The few errors of this domain, each also the built-in error that a caller would expect, and how a user meets them."""

import difflib
import sys
from collections.abc import Collection, Iterable


class VolumeError(ValueError):
    """A scan (or its label map) cannot be used: unreadable, not finite, too small, on another grid, several series."""


class DatalistError(ValueError):
    """A datalist is malformed, names absent files, or puts one patient on both sides of a split."""


class IntensityRangeError(ValueError):
    """Voxels lie outside the intensity range that a step declares, z-scored data given to a [0, 1] pipeline for
    example.
    """


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read, belongs to another network, or cannot be written."""


class TrainingError(RuntimeError):
    """Training cannot go on: the loss is not finite, or the output has collapsed to a constant."""


class MissingPackageError(ImportError):
    """A setting needs a package that is not installed; an `ImportError` of another kind is a fault of a program."""


class OutputError(OSError):
    """A file or folder cannot be written: a full disk, no right to, something else in its place."""


DOMAIN_ERRORS = (
    *(VolumeError, DatalistError, IntensityRangeError, CheckpointError, TrainingError, OutputError),
    MissingPackageError,
)
_WRAPPED = ("Failed to evaluate", "Failed to instantiate", "applying transform")  # how MONAI's messages begin


def cause_of(error: BaseException) -> BaseException:
    """What a user can act on: the first error of this domain among an error and its causes.

    Where there is none, the first one that is not MONAI's "Failed to evaluate" or the like.
    """
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    wrapped = 0
    while wrapped < len(chain) - 1 and str(chain[wrapped]).startswith(_WRAPPED):
        wrapped += 1
    return next((link for link in chain if isinstance(link, DOMAIN_ERRORS)), chain[wrapped])


def first_few(values: Collection[object], most: int, between: str = ", ") -> str:
    """At most so many of them, in words, and how many more there are."""
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return between.join(map(str, list(values)[:most])) + more


def nearest(found: str, names: Iterable[str]) -> str:
    """A sentence for an error, with the (at most three) names most like what was found and a space behind it; or
    nothing, where none is alike.
    """
    close = difflib.get_close_matches(found, set(names), n=3)
    return f"Nearest: {', '.join(close)}. " if close else ""


def say_cause_last() -> None:
    """Let an uncaught error end with the line that a user needs, below the traceback: `cause_of` it.

    MONAI's bundle runner leaves it a hundred lines above the last one. Called first by the bundles' configs; the
    traceback stays as it is. Calling it again changes nothing.
    """
    previous = sys.excepthook
    if getattr(previous, "says_cause", False):
        return

    def hook(kind, error, traceback) -> None:
        previous(kind, error, traceback)
        cause = cause_of(error)
        if cause is not error:
            sys.stderr.write(f"\n{type(cause).__name__}: {cause}\n")

    hook.says_cause = True
    sys.excepthook = hook
