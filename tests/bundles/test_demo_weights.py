"""The small weights that come with the bundles: applied, and said so, where there are no others."""

import json
import logging
import shutil
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow
from PIL import Image

from medgenesis import bundles
from medgenesis.bundles.demo_weights import SAID, knows_phantoms_alone
from medgenesis.bundles.shared import Settings
from medgenesis.cli.configs import find_bundle
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.errors import CheckpointError, cause_of
from medgenesis.report import write_run_report
from medgenesis.storage import read_table
from medgenesis.storage.checkpoint import save_checkpoint
from medgenesis.weights import settings_of, with_settings

EVERY = bundles.names()
MODELS = {name: bundles.path(name) / "models" for name in EVERY}
NAMES = [name for name, folder in MODELS.items() if (folder / "phantom_demo.pt").is_file()]
PRETRAINED = [name for name, folder in MODELS.items() if (folder / "phantom_demo_pretrained.pt").is_file()]
RESTORING = [name for name in PRETRAINED if (bundles.path(name) / "configs" / "restore.yaml").is_file()]


def test_all_of_them_are_small_and_named_for_what_they_are():
    files = [path for folder in MODELS.values() for path in folder.glob("phantom_demo*.pt")]
    assert len(files) == len(NAMES) + len(PRETRAINED) > 0 and set(PRETRAINED) == set(NAMES)
    assert sum(path.stat().st_size for path in files) < 5e6
    assert all(settings_of(path) for path in files)
    assert all(knows_phantoms_alone(settings_of(path).origin) for path in files)


def test_they_are_applied_only_where_there_are_none(tmp_path, caplog):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "phantom_demo.pt").write_bytes(b"demo")
    with caplog.at_level(logging.WARNING):
        assert bundles.weights_or_demo(tmp_path, "model.pt") == str(tmp_path / "models" / "phantom_demo.pt")
        assert "KNOW COMPUTED PHANTOMS ALONE" in caplog.text
        caplog.clear()
        (tmp_path / "models" / "model.pt").write_bytes(b"own")
        assert bundles.weights_or_demo(tmp_path, "model.pt") == str(tmp_path / "models" / "model.pt")
        assert bundles.weights_or_demo(tmp_path, "pretrained.pt") == str(tmp_path / "models" / "pretrained.pt")
    assert caplog.text == ""


def begun(monkeypatch, folder, weights, applied):
    """The folder of a run that has begun with these weights, whose report is written."""
    shared = Settings({}, folder, settings_of(weights), applied=applied)
    parser = SimpleNamespace(get=lambda: {"settings": "$…"}, get_parsed_content=lambda id: shared)
    monkeypatch.setattr("medgenesis.bundles.begin.being_read", lambda: SimpleNamespace(parser=parser))
    bundles.begin_run(folder)
    (folder / "metrics.csv").write_text("epoch,loss\n1,0.5\n")
    return folder, write_run_report(folder).read_text()


def test_results_say_that_they_are_of_the_phantoms_weights(tmp_path, monkeypatch):
    demo, other = tmp_path / "model.pt", tmp_path / "other.pt"  # known under any name
    shutil.copy(MODELS["models_genesis_ct"] / "phantom_demo.pt", demo)
    save_checkpoint(with_settings({"a": torch.zeros(2)}, {"width": 3}), other)
    folder, page = begun(monkeypatch, tmp_path / "out", demo, applied=True)
    assert json.loads((folder / "run.json").read_text())[-1]["weights"]["warning"].startswith("THESE WEIGHTS KNOW")
    assert "<h2>THESE WEIGHTS KNOW COMPUTED PHANTOMS ALONE" in page and "Apache-2.0" in page
    note = folder / "DEMO_WEIGHTS.txt"
    assert "made with model.pt" in note.read_text() and SAID in note.read_text()
    folder, page = begun(monkeypatch, folder, other, applied=True)  # earlier results still lie there
    assert "weights" not in json.loads((folder / "run.json").read_text())[-1] and SAID not in page
    assert "made with model.pt" in note.read_text() and "other weights; what was written since" in note.read_text()


def test_a_training_that_is_told_to_begin_with_them_is_no_demo(tmp_path, monkeypatch):
    demo = MODELS["models_genesis_ct"] / "phantom_demo_pretrained.pt"
    folder, page = begun(monkeypatch, tmp_path / "out", demo, applied=False)
    said = json.loads((folder / "run.json").read_text())[-1]["weights"]
    assert said["origin"]["name"] == "phantom-demo" and "warning" not in said and SAID not in page
    assert not (folder / "DEMO_WEIGHTS.txt").exists()
    assert not knows_phantoms_alone({**said["origin"], "trained_further": True}) and not knows_phantoms_alone(None)


@pytest.mark.parametrize("name", EVERY)
def test_no_training_begins_with_them(name):
    folder = bundles.path(name) / "configs"
    for task in {"pretrain", "finetune", "classify"} & set(find_bundle(name).tasks()):
        text = (folder / f"{task}.yaml").read_text()
        assert "demo" not in text
        assert yaml.safe_load(text)["init"] in ("scratch", None, "$@bundle_root + '/models/pretrained.pt'")


def test_finetuning_a_copy_asks_for_its_own_weights(copied, tmp_path):
    with pytest.raises(RuntimeError) as error:
        copied("models_genesis_ct", tmp_path / "copy").run("finetune")
    assert isinstance(cause_of(error.value), CheckpointError) and "pretrained.pt" in str(cause_of(error.value))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """As `medgenesis phantom data`: of another seed than the training."""
    return write_phantoms(tmp_path_factory.mktemp("data"), 3, seed=7, split=(0.4, 0.3, 0.3)).parent


def applied(name, task, data, folder, **settings):
    listed = {"datalist": str(data / ("datalist.json" if name.endswith("_ct") else "xray_datalist.json"))}
    config = str(bundles.path(name) / "configs" / f"{task}.yaml")
    workflow = ConfigWorkflow(
        config, workflow_type=None, logging_file=False, bundle_root=str(folder), device="cpu", **listed, **settings
    )
    workflow.initialize()
    workflow.run()
    return folder / "runs" / task


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_inference_finds_the_phantoms_organs(name, data, tmp_path):
    out = applied(name, "inference", data, tmp_path)
    flat = name.endswith("_cxr")
    record = json.loads((data / ("xray_datalist.json" if flat else "datalist.json")).read_text())["test"][0]
    if flat:
        truth = np.asarray(Image.open(data / record["label"]))
        found = np.asarray(Image.open(next(out.rglob("*_seg.png"))))
        groups = {1: (1,), 2: (2,)}
    else:
        truth = np.asarray(nib.load(data / record["label"]).dataobj)
        found = np.asarray(nib.load(next(out.rglob("*_seg.nii.gz"))).dataobj)
        groups = {1: (1, 2, 7), 2: (6,)}
    dice = {
        label: 2 * ((found == label) & np.isin(truth, own)).sum() / ((found == label).sum() + np.isin(truth, own).sum())
        for label, own in groups.items()
    }
    assert dice[1] > 0.8 and dice[2] > 0.5, dice


@pytest.mark.slow
@pytest.mark.parametrize("name", RESTORING)
def test_restore_is_nearer_to_the_original_than_what_was_corrupted(name, data, tmp_path):
    out = applied(name, "restore", data, tmp_path)

    def read(kind):
        return np.asarray(nib.load(next(out.rglob(f"*_{kind}.nii.gz"))).dataobj).astype(float)

    original, corrupted, restored = (read(kind) for kind in ("original", "corrupted", "restored"))
    if name == "caid_cxr":  # it corrupts an X-ray in a few small places, or not at all: nearer than one grey value
        assert np.square(restored - original).mean() < original.var() / 4
    else:
        assert np.square(restored - original).mean() < np.square(corrupted - original).mean()


@pytest.mark.slow
@pytest.mark.parametrize("name", PRETRAINED)
def test_embed_gives_a_vector_an_image_and_no_two_alike(name, data, tmp_path):
    rows = read_table(applied(name, "embed", data, tmp_path, section="test") / "embeddings.csv")
    rows += read_table(applied(name, "embed", data, tmp_path / "other", section="validation") / "embeddings.csv")
    vectors = [[float(value) for key, value in row.items() if key != "image"] for row in rows]
    assert len(vectors) == 2 and np.isfinite(vectors).all() and not np.allclose(*vectors)
