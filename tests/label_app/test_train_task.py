"""A training by the app: what it begins with, and that labels are known by their names."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from medgenesis import bundles
from medgenesis.label_app.app_folder import labels_of
from medgenesis.label_app.datastore import StudyFolder
from medgenesis.label_app.history import History
from medgenesis.label_app.settings import AppSettings
from medgenesis.label_app.train_task import FineTuneTask
from medgenesis.networks import UNet3D
from medgenesis.weights.settings import with_settings

BUNDLE = "models_genesis_ct"
SETTINGS = {"width": 4, "cube_size": [16, 16, 16], "cache": "none", "finetune_epochs": 1}


def _trained(folder, labels, model=None):
    """Result and model of one epoch on two studies."""
    rng = np.random.default_rng(0)
    settings = AppSettings(
        BUNDLE, str(bundles.path(BUNDLE)), labels, overlays=["quick"], settings=SETTINGS, model=model
    )
    (folder / "studies").mkdir(parents=True)
    for name in "ab":
        image = rng.integers(-900, 900, (20, 18, 16)).astype(np.int16)
        nib.save(nib.Nifti1Image(image, np.eye(4)), folder / "studies" / f"{name}.nii.gz")
    store = StudyFolder(folder / "studies", settings.classes)
    info = [{"name": "lungs", "idx": 1}, {"name": "liver", "idx": 2}]
    for name in "ab":
        drawn = rng.integers(0, 3, (20, 18, 16)).astype(np.uint8)
        nib.save(nib.Nifti1Image(drawn, np.eye(4)), folder / "drawn.nii.gz")
        store.save_label(name, str(folder / "drawn.nii.gz"), "final", {"label_info": info})
    history = History(folder, settings)
    task = FineTuneTask(settings, folder, history)
    result = task({"max_epochs": 1, "start": "last"}, store)
    return SimpleNamespace(result=result, model=history.current(), kept=history.result(history.current().parent))


@pytest.mark.timeout(600)
def test_a_training_goes_on_from_a_model_whatever_the_order_of_its_labels(tmp_path):
    torch.manual_seed(0)
    network = UNet3D(1, 3, width=4, activation=None, head_levels="all")  # as the trainings', so that its head goes on
    kept = {"width": 4, "cube_size": [16, 16, 16], "norm": "batch", "num_classes": 3, "intensity": "ct"}
    kept |= {
        "spacing_mm": None,
        "in_channels": 1,
        "head_levels": "all",
        "label_names": {0: "background", 1: "liver", 2: "lungs"},
    }
    torch.save(with_settings(network.state_dict(), kept), tmp_path / "earlier.pt")
    first, second = (
        _trained(tmp_path / labels[0], labels, str(tmp_path / "earlier.pt"))
        for labels in (["liver", "lungs"], ["lungs", "liver"])
    )
    assert first.result["start"] == second.result["start"] == "last"
    assert labels_of(first.model) == labels_of(second.model) == ["liver", "lungs"]
    one, other = (torch.load(run.model, weights_only=True) for run in (first, second))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    before = network.state_dict()
    assert one.keys() == before.keys()
    assert any(not torch.equal(one[name], before[name]) for name in one)  # it has learnt
    for name in (name for name in one if name.endswith("weight")):
        torch.testing.assert_close(one[name], before[name], atol=2e-3, rtol=0)  # from these, by one step


@pytest.mark.timeout(600)
def test_what_a_training_really_began_with_is_kept(tmp_path, caplog):
    run = _trained(tmp_path, ["lungs", "liver"])
    assert run.result["start"] == run.kept["start"] == "scratch"
    assert "start: last was asked for, and there is no model yet: the training begins with scratch" in caplog.text
    assert History(tmp_path, AppSettings(BUNDLE, "nowhere", ["spleen"])).passed_over() == {"0001": "lungs, liver"}
    assert json.loads((run.model.parent / "datalist.json").read_text())["labels"]["2"] == "liver"


def test_starts_are_those_that_there_are(tmp_path, caplog):
    scratch, own = (
        FineTuneTask(AppSettings("ours", "nowhere", ["a"], one), tmp_path, None) for one in ("scratch", "w")
    )
    assert scratch.config()["start"] == ["scratch", "last"]
    assert own.config()["start"] == ["self-supervised", "last", "scratch"]
    for task, begun in ((scratch, ("scratch", "scratch")), (own, ("self-supervised", "w"))):
        assert task._begun_with(task._asked({})[2], None) == begun and not caplog.records
    assert scratch._begun_with(scratch._asked({"start": "self-supervised"})[2], None) == ("scratch", "scratch")
    assert "start: self-supervised was asked for, and the app has no self-supervised weights" in caplog.text
