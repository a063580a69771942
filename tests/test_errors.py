"""What a user reads: the cause under MONAI's wrapping, as the last line."""

import subprocess
import sys
from difflib import SequenceMatcher

import pytest

from medgenesis.errors import CheckpointError, VolumeError, cause_of, first_few, nearest


def chained(*errors):
    """The first error, caused by the second, caused by the third, …"""
    for error, cause in zip(errors, errors[1:], strict=False):
        error.__cause__ = cause
    return errors[0]


@pytest.mark.parametrize(
    ("errors", "wanted"),
    [
        ([VolumeError("a")], 0),
        ([VolumeError("a"), OSError("b")], 0),
        ([RuntimeError("Failed to evaluate x"), RuntimeError("Failed to instantiate y"), CheckpointError("a")], 2),
        ([RuntimeError("Failed to evaluate x"), ValueError("b"), KeyError("c")], 1),
        ([RuntimeError("something else"), VolumeError("a"), OSError("b")], 1),
        ([RuntimeError("Failed to evaluate x")], 0),
        ([ValueError("b"), KeyError("c")], 0),
    ],
)
def test_cause(errors, wanted):
    assert cause_of(chained(*errors)) is errors[wanted]


@pytest.mark.parametrize("found", ["widht", "width", "train", "zzz", ""])
def test_nearest_names(found):
    """Those of a similarity of 0.6 at least, the most alike first; three of them."""
    names = ["width", "widths", "with", "wide", "weights", "train", "trainer", "trained", "strain"]
    alike = {name: SequenceMatcher(None, name, found).ratio() for name in names}
    wanted = sorted((name for name in names if alike[name] >= 0.6), key=lambda name: (alike[name], name), reverse=True)
    assert nearest(found, iter([*names, *names])) == (f"Nearest: {', '.join(wanted[:3])}. " if wanted else "")


SCRIPT = """
from medgenesis.errors import VolumeError, say_cause_last
say_cause_last()
say_cause_last()
try:
    raise VolumeError("a.nii: NaN")
except VolumeError as error:
    raise {raised}
"""


@pytest.mark.parametrize("raised", ["RuntimeError('Failed to evaluate') from error", "error"])
def test_the_last_line_says_the_cause_once_below_the_traceback(raised):
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(raised=raised)], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("Traceback")
    lines = done.stderr.strip().splitlines()
    assert lines[-1].endswith("VolumeError: a.nii: NaN")
    assert sum(line.startswith("VolumeError: ") for line in lines) == (0 if raised == "error" else 1)


@pytest.mark.parametrize(
    ("most", "said"), [(2, "a; b and 1 more"), (3, "a; b; c"), (4, "a; b; c")], ids=["fewer", "all", "room left"]
)
def test_what_is_not_named_is_counted(most, said):
    assert first_few(["a", "b", "c"], most, "; ") == said
    assert first_few(dict.fromkeys("abc"), most, "; ") == said
