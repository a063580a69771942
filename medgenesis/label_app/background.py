"""The processes that MONAI Label trains in: they end with the server, and save what they have."""

import logging
import subprocess
import time
from contextlib import suppress

import psutil
from monailabel.utils.async_tasks.utils import background_executors, background_processes

SAVES_WITHIN = 120.0  # seconds: the step that runs, or the validation of an epoch

logger = logging.getLogger(__name__)


def end_background_tasks(within: float = SAVES_WITHIN) -> None:
    """End what runs in processes of their own (trainings, and all studies segmented or scored), and begin no more.

    They are asked by SIGTERM, at which a training saves and ends. Their output is read until then: one whose reader is
    gone fails as it writes a line.

    Args:
        within: seconds after which one that still runs is killed; a training keeps its best epoch all the same.
    """
    for executor in list(background_executors.values()):
        executor.shutdown(wait=False, cancel_futures=True)
    running = [(kind, process) for kind, own in background_processes.items() for process in list(own.values())]
    for kind, process in running:
        logger.warning("the server stops: its %s (process %d) is asked to save and end", kind, process.pid)
        process.terminate()
    until = time.monotonic() + within
    for kind, process in running:
        try:
            process.wait(max(0.0, until - time.monotonic()))
            logger.warning("%s (process %d) has ended", kind, process.pid)
        except subprocess.TimeoutExpired:
            logger.warning("%s (process %d) did not end within %.0f s, and is killed", kind, process.pid, within)
            _kill(process)


def _kill(process: subprocess.Popen) -> None:
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.wait()
