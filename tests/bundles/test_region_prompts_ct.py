"""The configs of region_prompts_ct, run as a user runs them, on tiny phantoms."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch

from medgenesis.bundles import settings as bundle_settings
from medgenesis.errors import cause_of
from medgenesis.weights import settings_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory, copied):
    """The bundle, pre-trained for two epochs."""
    bundle = copied("region_prompts_ct", tmp_path_factory.mktemp("prompts"))
    bundle.run("pretrain", window=4, features=8)
    return bundle


def test_regions_are_sought_and_shown(trained):
    run = trained.root / "runs" / "pretrain"
    assert {"last.pt", "best.pt", "metrics.csv", "report.html"} <= {path.name for path in run.iterdir()}
    assert list((run / "images").glob("*.png"))
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(0 <= float(row["val_dice"]) <= 1 and float(row["val_loss"]) > 0 for row in rows)
    kept = settings_of(trained.root / "models" / "pretrained.pt")
    assert (kept["features"], kept["window"]) == (8, 4)
    assert bundle_settings(trained.root, kept)["features"] == 8


def test_one_labelled_volume_segments_the_others(trained, phantoms, tmp_path):
    trained.run("inference", "one_shot", kind="infer", output_dir=str(tmp_path))
    records = json.loads(phantoms.read_text())["test"]
    maps = sorted(tmp_path.rglob("*_seg.nii.gz"))
    assert len(maps) == len(records)
    for record in records:
        image = nib.load(phantoms.parent / record["image"])
        found = nib.load(next(path for path in maps if path.name.split("_seg")[0] in record["image"]))
        assert found.shape == image.shape and np.allclose(found.affine, image.affine)
        values = np.unique(np.asarray(found.dataobj)).tolist()
        assert set(values) <= {0, 1, 2} and len(values) > 1


def test_an_impossible_number_of_prompts_is_said_before_anything_is_read(trained, tmp_path):
    with pytest.raises(RuntimeError) as error:
        trained.run("inference", "one_shot", kind="infer", output_dir=str(tmp_path), shots=-1)
    assert str(cause_of(error.value)).startswith("shots: must be a whole number from 1; found -1.")


def test_prompts_that_answer_themselves_are_said(trained, phantoms, tmp_path, caplog):
    count = len(json.loads(phantoms.read_text())["training"])
    same = {"output_dir": str(tmp_path), "section": "training", "shots": 9}
    workflow = trained.workflow("inference", "one_shot", kind="infer", **same)
    workflow.parser.get_parsed_content("prompts")
    assert f"of {count} images to be segmented {count} are prompts themselves and 0 are others" in caplog.text
    assert f"shots: 9 asked for, but section 'training' of {phantoms} has {count}" in caplog.text


def test_a_class_that_no_prompt_shows_is_named(trained, phantoms, tmp_path):
    with pytest.raises(RuntimeError) as error:
        trained.run(
            "inference", "one_shot", kind="infer", output_dir=str(tmp_path), num_classes=17, label_merge={}, shots=1
        )
    found = str(cause_of(error.value))
    assert "prompts: must show every class that the list names" in found and "; found no voxel of " in found


def test_values_between_those_of_the_prompt_are_never_answered(trained, phantoms, tmp_path):
    """Label maps of 0, 2, 5, in a list that names nothing, and in one that names class 3 too."""
    data = json.loads(phantoms.read_text())
    prompt = data["training"][0]
    stored = nib.load(phantoms.parent / prompt["label"])
    values = np.asarray(stored.dataobj)
    spread = np.where(values >= 10, np.where(values >= 15, 5, 2), 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(spread, stored.affine), tmp_path / "label.nii.gz")
    image = {"image": str(phantoms.parent / data["test"][0]["image"])}
    shown = {"image": str(phantoms.parent / prompt["image"]), "label": str(tmp_path / "label.nii.gz")}
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": [shown], "test": [image]}))
    trained.run("inference", "one_shot", kind="infer", datalist=str(path), output_dir=str(tmp_path / "out"))
    (answer,) = (tmp_path / "out").rglob("*_seg.nii.gz")
    found = set(np.unique(np.asarray(nib.load(answer).dataobj)).tolist())
    assert found <= {0, 2, 5} and len(found) > 1
    path.write_text(json.dumps({"labels": {"3": "spleen"}, "training": [shown], "test": [image]}))
    with pytest.raises(RuntimeError) as error:
        trained.run("inference", "one_shot", kind="infer", datalist=str(path), output_dir=str(tmp_path / "out2"))
    assert "found no voxel of 3 (spleen) in 1 labelled image(s)" in str(cause_of(error.value))


def test_finetuning_takes_encoder_and_decoder(trained):
    pretrained = torch.load(trained.root / "models" / "pretrained.pt", weights_only=True)
    network = trained.workflow("finetune").parser.get_parsed_content("network")
    for name, value in network.state_dict().items():
        assert name.startswith("head.") or torch.equal(value, pretrained[name]), name


def test_embeddings_need_no_head(trained, phantoms, tmp_path):
    trained.run("embed", kind=None, output_dir=str(tmp_path))
    assert (tmp_path / "embeddings.csv").exists()
