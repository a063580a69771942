"""What a request for a segmentation is told that cannot be answered."""

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from medgenesis.errors import CheckpointError
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
    from medgenesis.label_app.app import LabelApp, MONAILabelApp

    monkeypatch.setattr(MONAILabelApp, "on_init_complete", lambda self: None)
    app = LabelApp.__new__(LabelApp)
    app.settings, app.history = AppSettings("ours", "nowhere", ["lungs"]), SimpleNamespace(passed_over=dict)
    app.on_init_complete()
    assert not caplog.records
    app.history = SimpleNamespace(passed_over=lambda: {"0003": "lungs, spleen"})
    app.on_init_complete()
    assert "training 0003 is passed over: it is of lungs, spleen, not of lungs" in caplog.text
