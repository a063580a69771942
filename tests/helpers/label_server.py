"""MONAI Label's own server on a bundle, with its own client: for tests in the environment of `make test-label`."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 600  # on a busy machine


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "MONAI_LABEL_AUTH_ENABLE": "false"}


def command(model, labels):
    return [sys.executable, "-m", "medgenesis", "label-app", model, "--labels", *labels]


def refused(call, *args):
    """What the client is told."""
    try:
        call(*args)
    except Exception as error:  # the client has a class of its own for each matter
        return str(getattr(error, "msg", error))
    raise AssertionError("not refused")


class Server:
    """A server that has started; `kill` ends it as a power cut would."""

    def __init__(self, root, model, labels, words=(), app="app", studies="studies", environ=None):
        from monailabel.client import MONAILabelClient

        self.root, self.model, self.app, self.port = root, model, root / app, free_port()
        self.log = (root / f"server_{self.port}.log").open("w")
        words = ["--studies", studies, "--app", app, "--port", self.port, *words]
        self.process = subprocess.Popen(
            [*command(model, labels), *map(str, words)],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd=root,
            env={**environment(), **(environ or {})},
        )
        self.client = MONAILabelClient(f"http://127.0.0.1:{self.port}", tmpdir=str(root))
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def _wait(self):
        began = time.monotonic()
        while time.monotonic() < began + START_SECONDS:
            if self.process.poll() is not None:
                raise RuntimeError(Path(self.log.name).read_text()[-3000:])
            try:
                return self.client.info()
            except OSError:
                time.sleep(0.5)
        raise TimeoutError(Path(self.log.name).read_text()[-3000:])

    def train(self, **params):
        self.client.train_start(self.model, params)
        while True:
            status = self.client.train_status(False)
            if status["status"] not in ("SUBMITTED", "RUNNING"):
                return status
            time.sleep(0.5)

    def infer(self, image, **params):
        return self.client.infer(self.model, image, params)

    def kill(self, number=signal.SIGKILL):
        """The server and what it has started."""
        import psutil

        if self.process.poll() is not None:
            return
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        for child in children:
            child.kill()
        self.process.wait(60)
        self.log.close()
