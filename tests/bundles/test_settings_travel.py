"""Four channels through every task of a bundle, with settings that are typed once, for the pre-training."""

import json
import logging
import re

import nibabel as nib
import numpy as np
import pytest
import torch

from medgenesis import bundles
from medgenesis.weights import settings_of

TYPED = {"width": 2, "cube_size": [16, 16, 16], "spacing_mm": 1.5, "intensity": "mri_percentile"}
FEW = {"num_workers": 0, "device": "cpu", "val_interval": 1}


@pytest.fixture(scope="module")
def modalities(tmp_path_factory):
    """A list of four volumes of four channels, two of them as four files, with labels 0, 1 and 3."""
    folder, rng = tmp_path_factory.mktemp("modalities"), np.random.default_rng(0)
    records = []
    for number in range(4):
        image = rng.integers(1, 900, (20, 20, 18, 4)).astype(np.int16)
        label = np.zeros((20, 20, 18), np.uint8)
        label[4:9, 5:14, 4:12], label[12:16, 5:14, 4:12] = 1, 3
        image[label > 0] += 400
        names = [f"p{number}.nii.gz"] if number % 2 else [f"p{number}_{c:04d}.nii.gz" for c in range(4)]
        for c, name in enumerate(names):
            nib.save(nib.Nifti1Image(image if len(names) == 1 else image[..., c], np.eye(4)), folder / name)
        nib.save(nib.Nifti1Image(label, np.eye(4)), folder / f"l{number}.nii.gz")
        image = names if len(names) > 1 else names[0]
        records.append({"image": image, "label": f"l{number}.nii.gz", "patient": str(number), "class": number % 2})
    path = folder / "list.json"
    path.write_text(json.dumps({"training": records[:2], "validation": records[2:], "test": records[2:]}))
    return path


@pytest.fixture(scope="module")
def trained(copied, tmp_path_factory, modalities):
    """A bundle, pre-trained with settings typed and fine-tuned without."""
    bundle = copied("models_genesis_ct", tmp_path_factory.mktemp("trained") / "bundle")
    bundle.tiny, bundle.datalist = dict(FEW), modalities
    few = {"batch_size": 2, "patches_per_image": 2, "crop_criterion": "any"}
    bundle.run("pretrain", pretrain_epochs=1, **few, **TYPED)
    bundle.run("finetune", finetune_epochs=1, volumes_per_batch=1)
    return bundle


def test_the_file_says_what_it_was_made_with(trained):
    for name, more in (("pretrained.pt", {}), ("model.pt", {"num_classes": 4, "label_merge": {}})):
        found = settings_of(trained.root / "models" / name)
        assert found.items() >= {**TYPED, "in_channels": 4, **more}.items(), name
    state = torch.load(trained.root / "models" / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values()), "a plain state dict for MONAI"


def test_the_line_without_pretraining_changes_the_weights_alone(trained, monkeypatch):
    """Of the header of `finetune.yaml`, which is the same for volumes and slabs."""
    folders = (trained.root, bundles.path("caid_cxr"))
    texts = [(folder / "configs" / "finetune.yaml").read_text() for folder in folders]
    (words,) = {re.search("^#   … (.*?) +the same without pre-training", text, re.MULTILINE)[1] for text in texts}
    pairs = words.split()
    options = {name.removeprefix("--"): value for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
    monkeypatch.chdir(trained.root)
    begun, scratch = (trained.workflow("finetune", **given).parser.get_parsed_content for given in ({}, options))
    assert begun("kept") == scratch("kept") and begun("width") == TYPED["width"]
    assert options["init"] == "scratch" and begun("models") != scratch("models")


def test_inference_needs_nothing_typed(trained, modalities, tmp_path):
    trained.run("inference", kind="infer", output_dir=str(tmp_path))
    written = sorted(tmp_path.rglob("*_seg.nii.gz"))
    assert len(written) == 2
    for path in written:
        assert nib.load(path).shape == (20, 20, 18) and np.allclose(nib.load(path).affine, np.eye(4))


@pytest.mark.parametrize(
    ("task", "file"),
    [("embed", "embeddings.csv"), ("restore", "*.nii.gz"), ("classify", "auc.csv"), ("predict", "predictions.csv")],
)
def test_tasks_after_it_likewise(trained, tmp_path, task, file):
    if task == "predict":
        trained.run("classify", classify_epochs=1, batch_size=2)
    epochs = {"classify_epochs": 1, "batch_size": 2} if task == "classify" else {}
    trained.run(task, kind=None, output_dir=str(tmp_path), **epochs)
    assert list(tmp_path.rglob(file))


def test_evaluation_likewise(trained, tmp_path):
    trained.run("finetune", "evaluate", output_dir=str(tmp_path))
    assert list(tmp_path.rglob("cases.csv"))


@pytest.mark.parametrize(
    ("setting", "value"), [("width", 4), ("spacing_mm", 2.0), ("intensity", "mri"), ("num_classes", 3)]
)
def test_what_disagrees_is_refused(trained, tmp_path, setting, value):
    with pytest.raises(Exception) as error:
        trained.run("inference", kind="infer", output_dir=str(tmp_path), **{setting: value})
    assert f"{setting}: must be as " in str(error.getrepr(style="long")) and not any(tmp_path.iterdir())


def test_another_spacing_in_fine_tuning_is_said(trained, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        trained.workflow("finetune", spacing_mm=2.0, output_dir=str(tmp_path))
    assert "spacing_mm: 2.0 here" in caplog.text


def test_channels_that_disagree_with_the_network_stop_before_training(trained, tmp_path):
    with pytest.raises(Exception) as error:
        trained.run("finetune", in_channels=1, init="scratch", output_dir=str(tmp_path))
    said = str(error.getrepr(style="long"))
    assert "must have as many channels as the network, 1 (`in_channels`); found 4" in said and "p0_0000" in said


def test_files_without_settings_load_and_say_so(tmp_path, caplog):
    torch.save({"encoder.weight": torch.zeros(1)}, tmp_path / "old.pt")
    with caplog.at_level(logging.WARNING):
        assert settings_of(tmp_path / "old.pt") == {}
    assert "the settings of its training are not in the file" in caplog.text


def test_a_head_on_all_levels_travels_too(trained, tmp_path):
    trained.run("finetune", "few_labels", finetune_epochs=1, volumes_per_batch=1, output_dir=str(tmp_path / "run"))
    model = tmp_path / "run" / "model.pt"
    assert settings_of(model)["head_levels"] == "all"
    assert {key for key in torch.load(model, weights_only=True) if key.startswith("head.convs.")}
    evaluated = trained.run("finetune", "evaluate", init=str(model), output_dir=str(tmp_path / "evaluated"))
    assert evaluated.evaluator.network.sees_all_levels
    trained.run("inference", kind="infer", weights=str(model), output_dir=str(tmp_path / "maps"))
    assert len(list((tmp_path / "maps").rglob("*_seg.nii.gz"))) == 2
