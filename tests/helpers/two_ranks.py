"""A module of this folder run as the two ranks of one group."""

import os
import subprocess
import sys
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parents[1]


def both_ran(module, folder, **environment):
    """What each rank of `python -m MODULE RANK FOLDER` saved as RANK.pt in the folder, and what each said."""
    command = [sys.executable, "-m", module]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    processes = [
        subprocess.Popen([*command, str(rank), str(folder)], env=environment, cwd=TESTS, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)], said
