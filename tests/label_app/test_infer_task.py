"""What a request for a segmentation is told that cannot be answered."""

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from medgenesis.errors import CheckpointError, VolumeError
from medgenesis.label_app.app import LabelApp, MONAILabelApp
from medgenesis.label_app.devices import device_of
from medgenesis.label_app.history import History
from medgenesis.label_app.infer_task import Models
from medgenesis.label_app.settings import AppSettings
from medgenesis.storage.run_folder import release_folder
from medgenesis.weights import with_settings


def test_without_a_model_the_labels_of_others_are_said(tmp_path):
    settings = AppSettings("ours", "nowhere", ["lungs", "liver"])
    history = History(tmp_path, settings)
    with pytest.raises(CheckpointError, match=r"found no model of lungs, liver yet\. Draw .* then train\.$"):
        Models(settings, history).current()
    folder = history.begin()
    names = {"label_names": {0: "background", 1: "lungs", 2: "spleen"}}
    torch.save(with_settings({"w": torch.zeros(1)}, names), folder / "model.pt")
    release_folder(folder)
    said = r"yet; training 0001 is of lungs, spleen\. .* then train, or start with the --labels of a training\.$"
    with pytest.raises(CheckpointError, match=said):
        Models(settings, history).current()


def test_the_start_names_the_trainings_that_are_not_shown(caplog, monkeypatch):
    monkeypatch.setattr(MONAILabelApp, "on_init_complete", lambda self: None)
    app = LabelApp.__new__(LabelApp)
    app.settings, app.history = AppSettings("ours", "nowhere", ["lungs"]), SimpleNamespace(passed_over=dict)
    app.draft = SimpleNamespace(unknown=None)
    app.on_init_complete()
    assert not caplog.records
    app.history = SimpleNamespace(passed_over=lambda: {"0003": "lungs, spleen"})
    app.on_init_complete()
    assert "training 0003 is passed over: it is of lungs, spleen, not of lungs" in caplog.text


def test_a_study_that_is_not_there_is_named(tmp_path):
    """By what was asked for, whether it is unknown or its file is gone."""
    files = {"gone": str(tmp_path / "gone.nii.gz")}
    app = LabelApp.__new__(LabelApp)
    app._datastore = SimpleNamespace(get_image_uri=lambda name: files.get(name, ""))
    for name in ("nobody", "gone", "", "../x", "/no/where.nii.gz"):
        with pytest.raises(VolumeError, match=f"image: must be a study of the server; found '{name}'"):
            app.infer({"model": "draft", "image": name})


@pytest.mark.parametrize("saved", [True, False])
def test_a_study_is_found_by_its_name_and_its_answer_saved(tmp_path, monkeypatch, saved):
    monkeypatch.chdir(tmp_path)
    for name in ("scan.nii.gz", "answer.nii.gz", "scan"):  # the last is none of the server's: where it was started
        (tmp_path / name).write_bytes(b"")
    kept, asked = [], []

    def answer(self, request, datastore):
        asked.append((request["image"], request["device"]))
        return {"file": str(tmp_path / "answer.nii.gz"), "label": "file", "params": {"a": 1}}

    monkeypatch.setattr(MONAILabelApp, "infer", answer)
    app = LabelApp.__new__(LabelApp)
    file = str(tmp_path / "scan.nii.gz")
    app._datastore = SimpleNamespace(
        get_image_uri=lambda name: file, save_label=lambda *all: kept.append(all) or "scan"
    )
    found = app.infer({"model": "draft", "image": "scan", "save_label": saved, "label_tag": "mine"})
    assert asked == [(file, None)] and found["label"] == ("scan" if saved else "file")
    said = {"model": "draft", "params": {"a": 1}}
    assert kept == ([("scan", str(tmp_path / "answer.nii.gz"), "mine", said)] if saved else [])


def test_no_file_of_the_server_but_what_was_sent_and_its_own_is_read(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(MONAILabelApp, "infer", lambda self, request, datastore: asked.append(request["image"]))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr("medgenesis.label_app.app.server_settings.MONAI_LABEL_SESSION_PATH", str(tmp_path / "sessions"))
    files = {name: tmp_path / name / "scan.nii.gz" for name in ("temporary", "sessions", "app", "studies", "others")}
    for file in files.values():
        file.parent.mkdir()
        file.write_bytes(b"")
    other = str(files.pop("others"))
    linked = files["studies"].with_name("linked.nii.gz")
    linked.symlink_to(other)  # as studies are
    app = LabelApp.__new__(LabelApp)
    app.app_dir, app.studies, app._datastore = str(tmp_path / "app"), str(tmp_path / "studies"), None
    own = [*map(str, files.values()), str(linked)]
    for file in own:
        app.infer({"model": "draft", "image": file, "label": file})
    assert asked == own
    for image in (other, str(tmp_path / "app" / ".." / "others" / "scan.nii.gz"), str(tmp_path / "app" / "..")):
        with pytest.raises(VolumeError, match="image: must be a study of the server; found"):
            app.infer({"model": "draft", "image": image})
    monkeypatch.chdir(tmp_path)
    for label in (other, "others/scan.nii.gz"):
        with pytest.raises(VolumeError, match="label: must be sent along; found"):
            app.infer({"model": "scribbles", "image": own[0], "label": label})
    assert asked == own


def test_without_cuda_the_processor_answers_and_it_is_said(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(None) is None and device_of("cpu") == "cpu" and not caplog.records
    for asked in ("cuda", "cuda:3", ["cuda"]):
        assert device_of(asked) == "cpu"
    assert caplog.text.count("there is no CUDA: the processor answers") == 3
    for asked in ("foo", "cuda:x", "cpu')", 7, ["foo"]):
        with pytest.raises(ValueError, match="device: must be cpu; found"):
            device_of(asked)


def test_a_device_is_one_that_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_of(one) for one in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]
    with pytest.raises(ValueError, match="device: must be cpu, cuda, cuda:0, cuda:1; found 'cuda:2'. Ask"):
        device_of("cuda:2")


def test_a_device_that_is_none_is_refused_by_every_model(tmp_path):
    with pytest.raises(ValueError, match="device: must be"):
        LabelApp.__new__(LabelApp).infer({"model": "draft", "image": "scan", "device": "foo"})
    with pytest.raises(ValueError, match="device: must be"):
        Models(AppSettings("ours", "nowhere", ["lungs"]), None).current("foo")
