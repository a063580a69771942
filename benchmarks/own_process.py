"""Measurements in processes of their own: what one has loaded, freed or set up is not there for the next."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def in_own_process(call: Callable[..., Any], *args: object, start: str = "spawn") -> Any:
    """What a call returns, or raises, in a process that has imported the program and done nothing else.

    Args:
        call: a function at the top of a module.
        args: whatever can be pickled, as what the call returns.
        start: "spawn" a new interpreter, or "fork" this process, quickly: it must not have computed anything.

    Raises:
        BrokenProcessPool: the process was killed.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context(start), _start_workers_by_default) as process:
        return process.submit(call, *args).result()


def _start_workers_by_default() -> None:
    """Those of the call itself, which are else started as this process was."""
    multiprocessing.set_start_method(None, force=True)


def in_new_interpreter(program: str, **environment: str) -> Any:
    """What a Python program prints as JSON in its last line: for what imports cost, and first calls."""
    command, settings = [sys.executable, "-c", program], {"cwd": ROOT, "env": os.environ | environment}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **settings)
    return json.loads(done.stdout.splitlines()[-1])
