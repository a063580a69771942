"""`benchmarks/own_process.py`: what comes back of another process, and that nothing is waited for in vain."""

import math
import multiprocessing
import os
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest

from benchmarks.own_process import in_new_interpreter, in_own_process


def start_of_workers():
    return multiprocessing.get_context().get_start_method()


STARTS = pytest.mark.parametrize("start", ["fork", "spawn"])


@STARTS
def test_each_call_has_a_process_of_its_own(start):
    found = {in_own_process(os.getpid, start=start) for _ in range(2)}
    assert len(found) == 2 and os.getpid() not in found
    assert in_own_process(math.hypot, 3, 4, start=start) == 5
    assert in_own_process(start_of_workers, start=start) == start_of_workers()


@STARTS
def test_errors_and_ends_come_back(start):
    with pytest.raises(ValueError, match="math domain error|expected a nonnegative"):
        in_own_process(math.sqrt, -1, start=start)
    with pytest.raises(BrokenProcessPool):
        in_own_process(signal.raise_signal, signal.SIGKILL, start=start)


def test_the_last_line_of_a_new_interpreter():
    program = "import json, os, sys; print('first'); print(json.dumps([os.environ['OF_THIS'], 'torch' in sys.modules]))"
    assert in_new_interpreter(program, OF_THIS="test") == ["test", False]
