"""Bundles by hf:// names, from a stand-in for Hugging Face on the loopback."""

import hashlib
import importlib
import json
import os
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from medgenesis import bundles, cli
from medgenesis.bundles.hub import download

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """One model, tester/toy: its list of files, and the files."""

    folder: Path
    breaks_at = ""  # name of a file at whose first download the server answers no more

    def do_GET(self):
        path = self.path.partition("?")[0]
        files = sorted(str(one.relative_to(self.folder)) for one in self.folder.rglob("*") if one.is_file())
        if path == "/api/models/tester/toy/refs":
            self._json(
                {
                    "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}],
                    "converts": [],
                    "tags": [],
                }
            )
        elif path.startswith("/api/models/tester/toy/tree/"):
            sizes = {name: (self.folder / name).stat().st_size for name in files}
            self._json([{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in sizes.items()])
        elif path.startswith("/api/models/tester/toy"):
            self._json({"id": "tester/toy", "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]})
        elif path.startswith(f"/tester/toy/resolve/{COMMIT}/"):
            self._file(self.folder / path.partition(f"{COMMIT}/")[2])
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def _json(self, content):
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _file(self, path):
        content = path.read_bytes()
        if path.name == Hub.breaks_at and self.command == "GET":
            Hub.breaks_at = ""
            self._send(403, b"", {})
            return
        self._send(200, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def _send(self, status, content, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(tmp_path):
    pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    Hub.folder = bundles.copy("models_genesis_ct", tmp_path / "served")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def typed(hub, tmp_path, name):
    """The command, in a process of its own: the address is read when the library is loaded."""
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "medgenesis", "bundle", name, str(tmp_path / "mine")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_a_bundle_comes_whole(hub, tmp_path):
    done = typed(hub, tmp_path, "hf://tester/toy")
    assert done.returncode == 0, done.stderr
    assert "a bundle is a program" in done.stderr
    for path in filter(Path.is_file, Hub.folder.rglob("*")):
        assert (tmp_path / "mine" / path.relative_to(Hub.folder)).read_bytes() == path.read_bytes(), path


@pytest.mark.slow
def test_a_broken_download_does_not_block_the_next(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(Hub, "breaks_at", "phantom_demo.pt")
    done = typed(hub, tmp_path, "hf://tester/toy")
    assert done.returncode != 0 and Hub.breaks_at == "", done.stderr
    assert "hf://tester/toy: cannot be read" in done.stderr.strip().splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} <= {"served", "cache"}
    done = typed(hub, tmp_path, "hf://tester/toy")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine" / "models" / "phantom_demo.pt").is_file()


@pytest.mark.slow
def test_a_model_that_is_no_bundle(hub, tmp_path):
    (Hub.folder / "configs" / "metadata.json").unlink()
    done = typed(hub, tmp_path, "hf://tester/toy")
    assert done.returncode != 0
    assert "must be a MONAI bundle; found no configs/metadata.json there, but LICENSE, " in done.stderr
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_what_is_not_there_is_said(hub, tmp_path):
    done = typed(hub, tmp_path, "hf://tester/other")
    assert done.returncode != 0
    assert "hf://tester/other: cannot be read" in done.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_no_network_is_said(tmp_path):
    pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    with socket.socket() as closed:  # bound and not listening: refused
        closed.bind(("127.0.0.1", 0))
        done = typed(f"http://127.0.0.1:{closed.getsockname()[1]}", tmp_path, "hf://tester/toy")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    said = done.stderr.strip().splitlines()[-1]
    assert "hf://tester/toy: cannot be read" in said and "HF_ENDPOINT names another server" in said


@pytest.mark.parametrize("kind", ["ConnectError", "ReadTimeout"])
def test_errors_of_the_client_are_said(monkeypatch, tmp_path, kind):
    errors = pytest.importorskip("huggingface_hub.errors", reason="the extra `hub` is not installed")
    (base,) = (base for base in errors.HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")
    client = importlib.import_module(base.__module__.partition(".")[0])
    if not hasattr(client, kind):
        pytest.skip(f"{client.__name__} has errors of the operating system's kind")

    def fail(**settings):
        raise getattr(client, kind)("it was too slow")

    monkeypatch.setattr("monai.bundle.download", fail)
    with pytest.raises(ValueError, match=r"hf://tester/toy: cannot be read \(it was too slow\). Check the name and"):
        download("hf://tester/toy", tmp_path / "mine")
    assert not any(tmp_path.iterdir())


def test_a_programming_error_is_not_taken_for_the_network(monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    monkeypatch.setattr("monai.bundle.download", lambda name: None)
    with pytest.raises(TypeError):
        download("hf://tester/toy", tmp_path / "mine")


@pytest.mark.parametrize("name", ["hf://toy", "hf://a/b/c", "hf://a/b@", "hf://"])
def test_names_that_are_none(name, tmp_path, capsys):
    assert cli.main(["bundle", name, str(tmp_path / "mine")]) == 2
    assert "must be hf://OWNER/NAME" in capsys.readouterr().err


def test_without_huggingface_hub_the_command_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    assert cli.main(["bundle", "hf://tester/toy", str(tmp_path / "toy")]) == 2
    told = capsys.readouterr().err
    assert "pip install" in told.splitlines()[-1] and "Traceback" not in told
