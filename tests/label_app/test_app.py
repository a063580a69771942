"""What the app adds to MONAI Label's own."""

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from monailabel.interfaces.tasks.batch_infer import BatchInferTask

from medgenesis import bundles
from medgenesis.errors import VolumeError
from medgenesis.label_app.app import LabelApp
from medgenesis.label_app.draft_task import DraftTask
from medgenesis.label_app.history import History
from medgenesis.label_app.settings import AppSettings


class Batches(LabelApp):
    """Nothing but MONAI Label's batches."""

    def __init__(self):
        self._batch_infer, self._datastore, self.asked = BatchInferTask(), self, []

    def list_images(self):
        return ["a", "b"]

    def infer(self, request, datastore=None):
        self.asked.append((request["image"], request["device"], request["label_tag"]))
        return {}


@pytest.mark.parametrize("asked", [{}, {"device": "cuda", "multi_gpu": True, "gpus": "all"}, {"device": "cpu"}])
def test_batches_work_without_cuda(monkeypatch, asked):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    app = Batches()
    assert app.batch_infer({"model": "draft", "images": "all", "label_tag": "original", **asked}).keys() == {"a", "b"}
    assert sorted(app.asked) == [("a", "cpu", "original"), ("b", "cpu", "original")]


def test_batches_are_shared_among_the_devices_that_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for asks_cuda in ("name_to_device", "handle_torch_linalg_multithread"):
        monkeypatch.setattr(f"monailabel.interfaces.tasks.batch_infer.{asks_cuda}", lambda one: one)
    app = Batches()
    app.batch_infer({"model": "draft", "label_tag": "original"})
    assert sorted(app.asked) == [("a", "cuda:0", "original"), ("b", "cuda:1", "original")]
    with pytest.raises(VolumeError, match="tag: must be a plain name"):
        app.batch_infer({"model": "draft", "label_tag": "../x"})


@pytest.mark.parametrize(("unknown", "shown"), [(None, True), ("BasicUNet", False)])
def test_the_draft_is_shown_where_the_network_gives_one(monkeypatch, tmp_path, caplog, unknown, shown):
    """Offered with any other network, it failed at the first request."""
    asked = []
    monkeypatch.setattr("medgenesis.label_app.draft_task.without_draft", lambda _: asked.append(1) or unknown)
    monkeypatch.setattr("monailabel.interfaces.app.MONAILabelApp.on_init_complete", lambda _: None)
    app = LabelApp.__new__(LabelApp)
    app.settings = AppSettings("ours", str(bundles.path("models_genesis_ct")), ["liver"])
    app.history = History(tmp_path, app.settings)
    app.draft = DraftTask(app.settings, tmp_path, lambda: SimpleNamespace(get_labeled_images=lambda: ["a"]))
    assert [app.draft.is_valid() for _ in range(2)] == [shown, shown] and len(asked) == 1
    app.on_init_complete()
    assert ("no draft before a training: where the feature maps of BasicUNet are is not known" in caplog.text) != shown
