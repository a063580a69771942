"""What the app adds to MONAI Label's own."""

import pytest
import torch

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from monailabel.interfaces.tasks.batch_infer import BatchInferTask

from medgenesis.errors import VolumeError
from medgenesis.label_app.app import LabelApp


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
