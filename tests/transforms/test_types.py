"""A type checker reads of the transforms what their documentation says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TY = shutil.which("ty", path=str(Path(sys.executable).parent)) or shutil.which("ty")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(TY is None, reason="ty is not installed")
def test_the_documented_types_are_those_that_a_checker_finds(tmp_path):
    """In a folder of its own: without this project's settings, under which ty asks less."""
    text = (Path(__file__).parent / "as_typed.py").read_text()
    (tmp_path / "user.py").write_text(text)
    command = [
        TY,
        "check",
        "--python",
        sys.prefix,
        "--extra-search-path",
        str(ROOT),
        "--output-format",
        "concise",
        "user.py",
    ]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    errors = [line for line in told.splitlines() if line.startswith("user.py:")]
    (wrong,) = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith("wrong: int")]
    assert [line.split(":")[1] for line in errors] == [str(wrong)], told
