"""`import medgenesis` and `medgenesis --help` answer at once: nothing heavy is imported before it is used.

benchmarks/import_time.py measures the seconds; here only what causes them is tested, so that a busy machine fails
nothing.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "monai", "ignite", "numpy", "scipy", "skimage", "sklearn", "SimpleITK", "nibabel", "pydicom", "PIL"}
ASK_FOR_HELP = """
import contextlib, io, medgenesis.cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    medgenesis.cli.main(["--help"])
"""


def imported_by(statements: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after the statements."""
    look = f"{statements}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize("statements", ["import medgenesis", ASK_FOR_HELP], ids=["import", "help"])
def test_nothing_heavy_is_imported(statements):
    modules = imported_by(statements)
    assert "medgenesis" in modules
    assert not modules & HEAVY


def test_something_heavy_would_be_noticed():
    assert imported_by("import medgenesis, numpy") & HEAVY == {"numpy"}
