"""The configs of caid_cxr and adam_cxr, run as a user runs them on tiny X-rays, with weights of an epoch."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from helpers.xray_bundle import XRayBundle, cause, records_of, rows_of, weights_of
from PIL import Image

from medgenesis.errors import IntensityRangeError
from medgenesis.networks import ResNet25D

BUNDLES = ["caid_cxr", pytest.param("adam_cxr", marks=pytest.mark.slow)]  # of one family: the same files


@pytest.fixture(scope="module", params=BUNDLES)
def trained(request, tmp_path_factory, copied, xrays, phantoms):
    """Each bundle, pre-trained and fine-tuned for an epoch."""
    bundle = XRayBundle(copied(request.param, tmp_path_factory.mktemp(request.param)), xrays, phantoms)
    bundle.run("pretrain")
    bundle.run("finetune")
    return bundle


@pytest.mark.parametrize("names", [["pretrain"], ["classify"], ["pretrain", "slabs"]])
def test_training_configs_have_all_properties(trained, tmp_path, names):
    assert trained.workflow(*names, output_dir=str(tmp_path)).check_properties() == []


def test_pretraining_writes_what_the_table_says(trained):
    run = trained.root / "runs" / "pretrain"
    names = {path.name for path in run.iterdir()}
    assert {"last.pt", "best.pt", "metrics.csv", "tensorboard", "images"} <= names
    caid = trained.root.name.startswith("caid")
    assert ("restoration.csv" in names) == caid
    row = rows_of(run / "metrics.csv")[-1]
    if caid:
        loss = float(row["discrimination"]) + 10 * float(row["context"])
        assert float(row["loss"]) == pytest.approx(loss, rel=1e-3)
    assert -1 <= float(row["val_negative"]) <= 1


def test_the_backbone_goes_into_segmentation_and_classification(trained):
    pretrained = weights_of(trained.root / "models" / "pretrained.pt")
    backbone = {name.removeprefix("encoder."): value for name, value in pretrained.items()}
    expected = ResNet25D("resnet18").state_dict().keys()
    assert len(expected) == 120
    for config in ("finetune", "classify"):
        loaded = trained.workflow(config).parser.get_parsed_content("network").state_dict()
        for name in expected:
            assert torch.equal(loaded[f"encoder.{name}"], backbone[name]), name


def test_few_labels_segment_by_a_head_on_all_levels(trained, tmp_path):
    trained.run("finetune", "few_labels", output_dir=str(tmp_path / "run"))
    model = tmp_path / "run" / "model.pt"
    assert {key for key in weights_of(model) if key.startswith("head.convs.")}
    trained.run("inference", kind="infer", weights=str(model), output_dir=str(tmp_path / "maps"))
    assert list((tmp_path / "maps").rglob("*.png"))


def test_label_maps_lie_on_the_xrays(trained, xrays, tmp_path):
    """They are larger than what the network is shown, and not square."""
    records = records_of(xrays, "test")
    trained.run("inference", kind="infer", output_dir=str(tmp_path / "png"))
    maps = sorted((tmp_path / "png").rglob("*.png"))
    assert len(maps) == len(records)
    for record, path in zip(records, maps, strict=True):
        found = np.asarray(Image.open(path))
        assert found.shape == np.asarray(Image.open(record["image"])).shape and found.dtype == np.uint8
        assert min(found.shape) > 96 and set(np.unique(found)) <= {0, 1, 2}


def test_evaluate_measures_the_test_section(trained, xrays, tmp_path):
    workflow = trained.run("finetune", "evaluate", output_dir=str(tmp_path))
    assert workflow.evaluator.state.metric_details["val_mean_dice"].shape == (len(records_of(xrays, "test")), 2)


def test_findings_by_area_under_the_curve(trained, xrays, caplog):
    workflow = trained.run("classify")
    assert "findings [3] have no AUC" in caplog.text
    assert weights_of(trained.root / "models" / "classifier.pt")["head.1.weight"].shape == (4, 512)
    assert 0 <= workflow.evaluator.state.metrics["val_auc"] <= 1
    assert workflow.parser.get_parsed_content("loss_function").__class__.__name__ == "_EntropyOfFindings"
    trained.run("predict", kind=None, section="validation", output_dir=str(trained.root / "new"))
    for name in ("predictions.csv", "auc.csv"):
        assert (trained.root / "new" / name).read_text() == (trained.root / "runs" / "classify" / name).read_text()
    wrong = [{**one, "classes": one["classes"][:3]} for one in records_of(xrays, "validation")]
    data = {"dataset#data": [{"image": "absent.png"}, *wrong]}  # refused before an image is read
    error = cause(trained, "predict", kind=None, **data, output_dir=str(trained.root / "wrong"))
    assert str(error).startswith("classes: each record must have 4 numbers")


def test_embed_writes_a_vector_an_image(trained, xrays, own_intensity, tmp_path):
    slabs = {"datalist": str(own_intensity), "intensity": "xray"}
    for names, datalist, own in ((["embed"], xrays, {}), (["embed", "slabs"], own_intensity, slabs)):
        trained.run(*names, kind=None, output_dir=str(tmp_path), **own)
        rows = rows_of(tmp_path / "embeddings.csv")
        assert len(rows) == len(records_of(datalist, "training")) and len(rows[0]) == 1 + 512


@pytest.mark.parametrize("marked", [True, False])
def test_dense_asks_the_backbone_and_its_controls(adam, xrays, tmp_path, marked):
    torch.save(ResNet25D("resnet18").state_dict(), tmp_path / "backbone.pt")
    table = str(xrays.with_name("xray_landmarks.csv")) if marked else None
    out = tmp_path / "dense"
    settings = {
        "weights": str(tmp_path / "backbone.pt"),
        "landmarks": table,
        "output_dir": str(out),
        "size": 32,
        "stride": 16,
        "patches": 4,
    }
    adam.run("dense", kind=None, **settings)
    rows = rows_of(out / "dense.csv")
    names = ["trained", "random init", "raw pixels", *(["same place"] if marked else [])]
    assert [row["backbone"] for row in rows] == names and ("silhouette" in rows[0]) == marked
    assert len(list(out.glob("landmarks_*.png"))) == (3 if marked else 0)
    stems = [f"{i:03d}_{Path(record['image']).stem}.npz" for i, record in enumerate(records_of(xrays, "test"))]
    assert sorted(path.name for path in (out / "maps").glob("[!.]*")) == stems


@pytest.mark.parametrize("task", ["embed", "inference"])
def test_weights_of_xrays_refuse_another_intensity(trained, task):
    with pytest.raises(RuntimeError) as error:
        trained.workflow(task, "slabs", kind=None)
    said = str(error.value.__cause__)
    assert "intensity: must be as " in said and "with, xray; found ct" in said


def test_caid_shows_what_it_restores(trained, xrays, own_intensity, tmp_path):
    if trained.root.name.startswith("adam"):
        pytest.skip("Adam restores nothing")
    slabs = {"datalist": str(own_intensity), "intensity": "xray"}
    for names, datalist, own in ((["restore"], xrays, {}), (["restore", "slabs"], own_intensity, slabs)):
        trained.run(*names, kind=None, output_dir=str(tmp_path / names[-1]), **own)
        assert len(list((tmp_path / names[-1]).glob("phantom_*"))) == 4 * len(records_of(datalist, "validation"))
    original, restored = (
        nib.load(next((tmp_path / "restore").glob(f"*_{name}.nii.gz"))).get_fdata() for name in ("original", "restored")
    )
    assert original.shape == restored.shape and 0 <= restored.min() and restored.max() <= 1


@pytest.fixture
def deep(xrays, tmp_path):
    """A list whose first X-ray has 16 bits."""
    datalist = {section: records_of(xrays, section) for section in ("training", "validation", "test")}
    rows = np.asarray(Image.open(datalist["training"][0]["image"])).astype(np.uint16) * 256
    Image.fromarray(rows).save(tmp_path / "deep.png")
    for section in datalist:
        datalist[section][0] = {**datalist[section][0], "image": str(tmp_path / "deep.png")}
        for record in datalist[section]:
            record["label"] = str(xrays.parent / record["label"])
    (tmp_path / "deep.json").write_text(json.dumps(datalist))
    return tmp_path / "deep.json"


@pytest.mark.parametrize("name", ["pretrain", "finetune", "classify", "inference", "embed"])
def test_an_xray_of_16_bits_needs_its_range(trained, deep, tmp_path, name):
    kind = {"inference": "infer", "embed": None}.get(name, "train")
    found = cause(trained, name, kind=kind, datalist=str(deep), output_dir=str(tmp_path / "run"))
    assert isinstance(found, IntensityRangeError) and "deep.png" in str(found) and "a_max" in str(found)
    assert not list((tmp_path / "run").rglob("*.pt"))
