"""What a viewer, or a web page, sends names no file but those of the app."""

import io
import json
import tarfile
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException

from medgenesis.errors import VolumeError
from medgenesis.label_app.app import LabelApp
from medgenesis.label_app.datastore import StudyFolder
from medgenesis.label_app.own_pages import OwnPagesAlone
from medgenesis.label_app.plain_sessions import PlainSessions
from medgenesis.label_app.start import LOOPBACK
from medgenesis.label_app.studies import gather_studies


def _save(path, values):
    nib.save(nib.Nifti1Image(values.astype(np.uint8), np.eye(4)), path)
    return str(path)


@pytest.fixture
def world(tmp_path):
    """The user's own folder with a scan and its neighbour, the app's store, a label map, and all files as they are."""
    (tmp_path / "own").mkdir()
    for name in ("scan.nii.gz", "scan.mha.nii.gz"):
        _save(tmp_path / "own" / name, np.zeros((3, 4, 5)))
    gather_studies(tmp_path / "own", tmp_path / "app" / "studies")
    store = StudyFolder(tmp_path / "app" / "studies", {"liver": 1})
    drawn = _save(tmp_path / "drawn.nii.gz", np.ones((3, 4, 5)))
    store.save_label("scan", drawn, "final", {})
    return SimpleNamespace(root=tmp_path, store=store, drawn=drawn, before=_contents(tmp_path))


def _contents(root):
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("tag", ["/own", "..", ".", "", "a/b", "a\\b", "final\n"])
def test_a_tag_is_no_path(world, tag):
    tag = str(world.root / "own") if tag == "/own" else tag
    store = world.store
    calls = [
        lambda: store.save_label("scan", world.drawn, tag, {}),
        lambda: store.remove_label("scan", tag),
        lambda: store.get_label("scan", tag),
        lambda: store.get_label_uri("scan", tag),
        lambda: store.get_label_info("scan", tag),
        lambda: store.update_label_info("scan", tag, {"a": 1}),
        lambda: LabelApp.infer(None, {"save_label": True, "label_tag": tag}),
    ]
    for call in calls:
        with pytest.raises(VolumeError, match="tag: must be a plain name such as final or original; found"):
            call()
    assert _contents(world.root) == world.before


def test_plain_tags_stay_possible(world):
    world.store.save_label("scan", world.drawn, "version_2-a", {})
    assert world.store.get_label_uri("scan", "version_2-a").endswith("labels/version_2-a/scan.nii.gz")
    world.store.remove_label("scan", "version_2-a")
    assert _contents(world.root).keys() == world.before.keys()


def test_a_label_that_is_not_there_cannot_be_removed(world):
    for name, tag in (("scan", "original"), ("nobody", "final")):
        with pytest.raises(LabelNotFoundException):
            world.store.remove_label(name, tag)


def test_a_link_is_removed_and_not_what_it_leads_to(world):
    label = world.root / "app" / "studies" / "labels" / "final" / "scan.nii.gz"
    label.unlink()
    label.symlink_to(world.drawn)
    world.store.remove_label("scan", "final")
    assert not label.is_symlink() and nib.load(world.drawn).shape == (3, 4, 5)


@pytest.mark.parametrize("name", ["../scan", "../../own/scan", "/own/scan", "labels/final/scan", ".."])
def test_the_name_of_a_study_is_no_path(world, name):
    name = f"{world.root}{name}" if name.startswith("/") else name
    assert world.store.get_image_uri(name) == ""
    with pytest.raises(ImageNotFoundException):
        world.store.save_label(name, world.drawn, "final", {})
    with pytest.raises(VolumeError):  # the name is taken, or none
        world.store.add_image(name, world.drawn, {})
    assert _contents(world.root) == world.before


def test_a_study_that_is_sent_lies_in_the_folder_of_the_app(world):
    world.store.add_image("../../own/new", world.drawn, {})
    new = set(_contents(world.root)) - set(world.before)
    assert new == {str(world.root / "app" / "studies" / "new.nii.gz")}
    (world.root / "own" / "scan.nii.gz").unlink()  # away for once: the link to it leads into the user's folder
    world.store.refresh()
    with pytest.raises(VolumeError, match="must have a new name; found 'scan'"):
        world.store.add_image("scan", world.drawn, {})
    assert not (world.root / "own" / "scan.nii.gz").exists()


def test_a_session_is_no_path(tmp_path):
    sessions = PlainSessions(str(tmp_path / "sessions"), 100)
    sent = tmp_path / "sent.nii.gz"
    _save(sent, np.zeros((3, 4, 5)))
    name, _ = sessions.add_session(str(sent))
    assert sessions.get_session(name).image.endswith("sent.nii.gz")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "meta.info").write_text('{"image": "gone"}')
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "meta.info").write_text(json.dumps({"image": str(tmp_path / "whole" / "meta.info")}))
    before = _contents(tmp_path)
    for bad in ("../mine", str(tmp_path / "mine"), "../whole", str(tmp_path / "whole"), "..", "unknown"):
        with pytest.raises(HTTPException, match="session: must be one that has not expired; found"):
            sessions.get_session(bad)
        sessions.remove_session(bad)
    assert _contents(tmp_path) == before
    sessions.remove_session(name)
    assert list((tmp_path / "sessions").iterdir()) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # 3D Slicer
        ({"Origin": "http://10.0.0.5:8000"}, 200),  # OHIF, a page of the server
        ({"Origin": "http://localhost:8000"}, 200),  # allowed by CORS too
        ({"Origin": "https://labels.hospital.org", "X-Forwarded-Host": "labels.hospital.org"}, 200),  # behind a proxy
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://10.0.0.5:9000"}, 403),
        ({"Origin": "http://10.0.0.5:8000.evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_another_page_cannot_send_a_form(headers, status):
    app, seen = FastAPI(), []

    @app.post("/infer/draft")
    def infer():
        seen.append(True)

    app.add_middleware(OwnPagesAlone, allowed=["http://localhost:8000"])
    client = TestClient(app, base_url="http://10.0.0.5:8000")
    assert client.post("/infer/draft", files={"params": (None, "{}")}, headers=headers).status_code == status
    assert bool(seen) == (status == 200)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("[::1]:8000", 200),
        ("evil.example:8000", 403),  # a name that was made to lead here (DNS rebinding): its page is of this server
        ("127.0.0.1.evil.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_another_name_of_this_computer_cannot_read(host, status):
    app = FastAPI()

    @app.get("/datastore/")
    def read():
        return "scans"

    app.add_middleware(OwnPagesAlone, hosts=LOOPBACK)
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert TestClient(app).get("/datastore/", headers=headers).status_code == status


def test_the_server_refuses_other_pages_and_answers_404(monkeypatch):
    from medgenesis.label_app.server import app

    class Store:
        def remove_label(self, *_):
            raise LabelNotFoundException("label: must be one of the server; found 'x'")

    monkeypatch.setattr(
        "monailabel.endpoints.datastore.app_instance", lambda: SimpleNamespace(datastore=lambda: Store())
    )
    client = TestClient(app, base_url="http://127.0.0.1:8000")
    words = {"params": {"id": "x", "tag": "final"}}
    assert client.delete("/datastore/label", **words, headers={"Origin": "http://evil.example"}).status_code == 403
    found = client.delete("/datastore/label", **words, headers={"Origin": "http://127.0.0.1:8000"})  # as OHIF
    assert found.status_code == 404 and "found 'x'" in found.json()["detail"]


def test_an_archive_is_unpacked_into_its_own_folder(tmp_path):
    import medgenesis.label_app.server  # noqa: F401

    with tarfile.open(tmp_path / "sent.tar", "w") as archive:
        member = tarfile.TarInfo("../outside.txt")
        archive.addfile(member, io.BytesIO())
    sessions = PlainSessions(str(tmp_path / "sessions"), 100)
    with pytest.raises(tarfile.OutsideDestinationError), pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir()
        sessions.add_session(str(tmp_path / "sent.tar"), uncompress=True)
    assert not (tmp_path / "temporary" / "outside.txt").exists()
