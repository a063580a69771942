"""Starts MONAI Label's server on the folder of an app, offline, for this computer alone unless told otherwise."""

import importlib.util
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import NoReturn

from medgenesis.errors import OutputError
from medgenesis.label_app.app_folder import served_alone
from medgenesis.label_app.studies import FETCHING

MONAI_LABEL = "0.8.5"
_FETCH_MOST = 3600.0  # seconds without a new slice after which a series is not being fetched any more
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LISTENS = "MEDGENESIS_LABEL_APP_HOST"  # the variable that tells the server's module where it listens

logger = logging.getLogger(__name__)


def serve(app: str | Path, studies: str | Path, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until it is stopped. A training ends with the server, and saves: see `medgenesis.label_app.background`.

    Args:
        app: the folder that `prepare` has written.
        studies: the folder that `gather_studies` has filled, or the address of a DICOMweb server.
        host: where to listen; another than this computer exposes the studies, which is said.
        port: where viewers look for it.

    Raises:
        ValueError: MONAI Label is not installed, or the port is none.
        OutputError: the port is in use, or another process serves the app.
        SystemExit: with status 143, after a SIGTERM.
    """
    check_installed()
    check_port(host, port)
    app = Path(app).absolute()
    _set_environment(app)
    os.environ[LISTENS] = host
    clear_broken_off(dicomweb_cache(app))
    from monailabel.main import Main

    if host not in LOOPBACK:
        logger.warning("%s", exposed(host, port))
    logger.info(
        "MONAI Label at http://%s:%d (3D Slicer: this address; browser: %s). Ctrl-C stops it", host, port, "/ohif/"
    )
    words = ["start_server", "--app", str(app), "--studies", str(studies), "--host", host, "--port", str(port)]
    words_before = sys.argv
    at_sigterm = signal.signal(signal.SIGTERM, _leave)  # uvicorn raises it again, and what viewers sent would stay
    sys.argv = ["monailabel", *words, "--uvicorn_app", "medgenesis.label_app.server:app"]
    try:
        with served_alone(app), own_temporary_folder():
            Main().run()
    finally:
        sys.argv = words_before
        signal.signal(signal.SIGTERM, at_sigterm)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextmanager
def own_temporary_folder() -> Generator[str, None, None]:
    """Let this process keep temporary files in a folder of its own, removed afterwards.

    What viewers send comes there, so that requests may name files of it; those of other programs are not among them.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="label_", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            yield folder
        finally:
            tempfile.tempdir = before


def dicomweb_cache(app: str | Path) -> Path:
    """Where series of a DICOMweb server are kept: as MONAI Label's setting says, else in the app's folder."""
    return Path(os.environ.get("MONAI_LABEL_DICOMWEB_CACHE_PATH") or Path(app).absolute() / "dicomweb")


def clear_broken_off(cache: Path) -> None:
    """Remove what a kill has left of series that were being fetched: slices with the patient's name.

    Another server may fetch into the same cache now, so that what a slice came to within the last hour stays.
    """
    for folder in cache.glob(f"*/{FETCHING}*"):
        changed = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))  # slices come into one below it
        if time.time() - changed > _FETCH_MOST:
            shutil.rmtree(folder, ignore_errors=True)


def check_installed() -> None:
    """Find out that MONAI Label is there before anything is written.

    Raises:
        ValueError: it is not.
    """
    if importlib.util.find_spec("monailabel") is None:
        raise ValueError(
            "label-app: must have MONAI Label; found none in this environment. Make one for it (its packages are older "
            "than those of medgenesis): python -m venv label && label/bin/pip install 'medgenesis[label]'."
        )
    if version("monailabel") != MONAI_LABEL:
        logger.warning("MONAI Label %s: this app was tried with %s alone", version("monailabel"), MONAI_LABEL)


def check_port(host: str, port: int) -> None:
    """Find out that a port is free.

    Raises:
        ValueError: it is no port.
        OutputError: it is not free, or the host is none of this computer's.
    """
    if not 1 <= port <= 65535:
        raise ValueError(f"--port: must be 1 to 65535; found {port}. Choose another, 8000 for example.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OutputError(
                f"--port: must be free at --host; found {host}:{port} taken or not allowed ({error.strerror}). Stop "
                "the other server, or choose another --port."
            ) from error


def exposed(host: str, port: int) -> str:
    """What it means that others can reach the server."""
    return (
        f"{host}:{port}: everybody who reaches this address can read and change all studies and labels, and start "
        "trainings; nothing is encrypted. MONAI Label asks for a login where MONAI_LABEL_AUTH_ENABLE=true and "
        "MONAI_LABEL_AUTH_REALM_URI names a realm of a Keycloak server; better, put it behind your hospital's proxy"
    )


def _set_environment(app: Path) -> None:
    """Settings of MONAI Label, which the process that trains inherits; those that are set already stay."""
    own = {
        "MONAI_ZOO_SOURCE": "ngc",  # not asked: the default would look at GitHub
        "MONAI_LABEL_SESSION_PATH": str(app / "sessions"),
        "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(dicomweb_cache(app)),
        "MONAI_LABEL_DICOMWEB_CACHE_EXPIRY": "60",  # a new series is there within a minute, not within two hours
        "MONAI_LABEL_TRACKING_ENABLED": "false",
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",  # else all studies are scored at each next sample
    }
    for name, value in own.items():
        os.environ.setdefault(name, value)
    scripts = str(Path(sys.executable).parent)  # itkimage2segimage, where the environment is not activated
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])
