"""A server that stops ends what it has started; the training is a stand-in, which saves when it is asked to end."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

import psutil
from helpers.label_server import free_port

from medgenesis.label_app.background import end_background_tasks

STAND_IN = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(0.5)
    print("saves", flush=True)  # fails where nobody reads
    pathlib.Path(sys.argv[1], "saved").write_text("whole")
    sys.exit(143)
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == "deaf" else save)
pathlib.Path(sys.argv[1], "running").touch()
while True:
    time.sleep(0.1)
"""
# MONAI Label's own thread starts the stand-in and reads it; `Main.run` is uvicorn on the app, without any study
SERVER = """
import subprocess, sys
from monailabel.utils.async_tasks import utils
own = subprocess.Popen
def stand_in(cmd, **options):
    return own([sys.executable, "-c", sys.argv[2], sys.argv[3], "saves"], **options)
from monailabel.config import settings
settings.MONAI_LABEL_STUDIES = sys.argv[3]
from medgenesis.label_app import server
from types import SimpleNamespace
import monailabel.app, os, uvicorn
nothing = SimpleNamespace(server_mode=lambda _: None, on_init_complete=lambda: None)
monailabel.app.app_instance = lambda: nothing
os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
subprocess.Popen = stand_in
for _ in range(2):  # the second one waits for the first, and is not to begin
    utils.run_background_task({}, "train")
uvicorn.run(server.app, host="127.0.0.1", port=int(sys.argv[1]))
"""


def _wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_ends_its_training_which_saves(tmp_path, number):
    words = [sys.executable, "-c", SERVER, str(free_port()), STAND_IN, str(tmp_path)]
    log = tmp_path / "log"
    with log.open("w") as file:
        server = subprocess.Popen(words, stdout=file, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        _wait_for(lambda: "Uvicorn running" in log.read_text() and (tmp_path / "running").exists())
        (training,) = psutil.Process(server.pid).children()
        (tmp_path / "running").unlink()
        server.send_signal(number)
        server.wait(60)
        said = log.read_text()
        assert not training.is_running() and (tmp_path / "saved").read_text() == "whole", said
        assert f"its train (process {training.pid}) is asked to save and end" in said
        assert f"train (process {training.pid}) has ended" in said
        assert not (tmp_path / "running").exists()
    finally:
        for one in [*psutil.Process(server.pid).children(), server] if server.poll() is None else []:
            one.kill()


def test_what_does_not_end_is_killed(tmp_path, monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", STAND_IN, str(tmp_path), "deaf"])
    _wait_for((tmp_path / "running").exists)
    monkeypatch.setattr("medgenesis.label_app.background.background_processes", {"train": {"1": process}})
    executor = ThreadPoolExecutor(1)
    monkeypatch.setattr("medgenesis.label_app.background.background_executors", {"train": executor})
    end_background_tasks(within=0.2)
    assert process.poll() == -signal.SIGKILL
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(print)
