"""What keeps a label app from starting is said before anything is served."""

import os
import signal
import socket
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from helpers.label_server import free_port

from medgenesis import bundles, cli
from medgenesis.errors import VolumeError
from medgenesis.label_app.app import LabelApp
from medgenesis.label_app.start import serve
from medgenesis.label_app.studies import FETCHING

SCRATCH = ["--weights", "scratch"]
DEMO = str(bundles.path("models_genesis_ct") / "models" / "phantom_demo_pretrained.pt")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--studies", "empty", *SCRATCH], "found no study"),
        (["--studies", "nowhere", *SCRATCH], "--studies: must be a folder"),
        (["--studies", "studies"], "Pre-train first (`medgenesis run models_genesis_ct pretrain`), name"),
        (["--studies", "studies", *SCRATCH, "--port", "taken"], "--port: must be free"),
        (["--studies", "studies", *SCRATCH, "--port", "99999"], "--port: must be 1 to 65535; found 99999."),
        (["--studies", "studies", *SCRATCH, "--port", "0"], "--port: must be 1 to 65535; found 0."),
        (["--studies", "studies", *SCRATCH, "--overlay", "slabs"], "slabs"),
        (
            ["--studies", "studies", *SCRATCH, "--labels", "lungs", "Lungs"],
            "--labels: must be 1 to 254 different names",
        ),
        (["--studies", "studies", "--weights", DEMO, "--overlay", "quick"], "width: must be as"),
        (["--studies", "studies", *SCRATCH, "--set", "width=0"], "width"),
        (SCRATCH, "--studies: must be named"),
    ],
)
def test_what_cannot_start_says_so(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "studies"):
        (tmp_path / name).mkdir()
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4)), tmp_path / "studies" / "scan.nii.gz")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = [str(taken.getsockname()[1]) if word == "taken" else word for word in words]
        port = [] if "--port" in words else ["--port", str(free_port())]
        labels = [] if "--labels" in words else ["--labels", "lungs", "liver"]
        assert cli.main(["label-app", "models_genesis_ct", "--app", "app", *labels, *words, *port]) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_bundle_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["label-app", "lung_dreams", "--studies", str(tmp_path), "--labels", "lungs"]) == 2
    assert "lung_dreams" in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["", "elsewhere"])
def test_what_a_kill_left_of_a_series_is_removed(tmp_path, monkeypatch, setting):
    monkeypatch.setattr(
        "os.environ", dict(os.environ, MONAI_LABEL_DICOMWEB_CACHE_PATH=setting and str(tmp_path / setting))
    )
    cache = tmp_path / (setting or "dicomweb") / "server"
    left, fetched_now, kept = (cache / name for name in (f"{FETCHING}x1", f"{FETCHING}x2", "1.2.3"))
    for folder in (left, fetched_now, kept):
        (folder / "1.2.4").mkdir(parents=True)
        (folder / "1.2.4" / "slice.dcm").write_bytes(b"")
    for folder in (left / "1.2.4", left, fetched_now):  # slices still come into the folder below the last one
        os.utime(folder, (0, 0))
    monkeypatch.setattr("monailabel.main.Main.run", lambda _: None)
    serve(tmp_path, tmp_path, port=free_port())
    assert kept.is_dir() and fetched_now.is_dir() and not left.exists()


def test_a_server_reads_no_temporary_file_of_another_program(tmp_path, monkeypatch):
    """What viewers have sent lies in a folder of its own, which is removed when the server stops."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    foreign = tmp_path / "temporary" / "scan.nii.gz"
    foreign.parent.mkdir()
    foreign.write_bytes(b"")
    monkeypatch.setattr("monailabel.interfaces.app.MONAILabelApp.infer", lambda self, request, datastore: "answered")
    app = LabelApp.__new__(LabelApp)
    app.app_dir, app.studies, app._datastore = str(tmp_path / "app"), str(tmp_path / "studies"), None
    sent = []

    def serving(main):
        with tempfile.NamedTemporaryFile(suffix=".nii.gz", delete=False) as file:
            sent.append(Path(file.name))
        assert app.infer({"model": "draft", "image": file.name}) == "answered"
        with pytest.raises(VolumeError, match="image: must be a study of the server"):
            app.infer({"model": "draft", "image": str(foreign)})
        with pytest.raises(VolumeError, match="label: must be sent along"):
            app.infer({"model": "scribbles", "image": file.name, "label": str(foreign)})

    monkeypatch.setattr("monailabel.main.Main.run", serving)
    serve(tmp_path / "app", tmp_path / "studies", port=free_port())
    assert not sent[0].parent.exists() and tempfile.gettempdir() == str(foreign.parent) and foreign.exists()


def test_a_server_holds_its_app_until_it_ends(tmp_path, monkeypatch):
    held = []
    monkeypatch.setattr("monailabel.main.Main.run", lambda _: held.append((tmp_path / ".running").read_text()))
    serve(tmp_path, tmp_path, port=free_port())
    assert held == [f"process {os.getpid()} of {socket.gethostname()}"] and not (tmp_path / ".running").exists()


def test_what_viewers_have_sent_is_removed_at_a_sigterm(tmp_path, monkeypatch):
    """uvicorn raises the signal again when it has shut down, and the process ended there."""
    folders = []

    def serving(main):
        folders.append(Path(tempfile.gettempdir()))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("monailabel.main.Main.run", serving)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit, match="143"):
            serve(tmp_path / "app", tmp_path / "studies", port=free_port())
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN and not folders[0].exists()
    finally:
        signal.signal(signal.SIGTERM, before)
