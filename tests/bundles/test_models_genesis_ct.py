"""The configs of the bundle, run as a user runs them, on tiny phantoms."""

import csv
import json
import re

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from medgenesis.data.pipeline import find_domain_error
from medgenesis.errors import CheckpointError, DatalistError, IntensityRangeError, cause_of
from medgenesis.networks import UNet3D
from medgenesis.storage import read_table

OTHER_NETWORKS = {
    "DynUNet": {
        "_target_": "monai.networks.nets.DynUNet",
        "spatial_dims": 3,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [4, 8, 8],
    },
    "SegResNet": {"_target_": "monai.networks.nets.SegResNet", "init_filters": 8},
    "SwinUNETR": {"_target_": "monai.networks.nets.SwinUNETR", "feature_size": 12},
}


def message_of(error):
    """The first cause of an error: MONAI wraps every error of a config in "Failed to evaluate"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


# what stands where


def test_pretraining_has_all_properties(bundle):
    """Those of the other tasks: test_monai_commands.py."""
    assert bundle.workflow("pretrain").check_properties() == []


# what runs


def test_pretraining_writes_what_the_table_says(bundle):
    run = bundle.root / "runs" / "pretrain"
    names = {path.name for path in run.iterdir()}
    assert {"last.pt", "best.pt", "metrics.csv", "tensorboard", "images", "restoration.csv"} <= names
    assert {"acceptance_training.csv", "acceptance_validation.csv"} <= names
    weights = torch.load(bundle.root / "models" / "pretrained.pt", weights_only=True)
    best = torch.load(run / "best.pt", weights_only=True)["method"]
    assert {f"network.{name}" for name in weights} == set(best)
    with (run / "restoration.csv").open() as file:
        answers = [row["answer"] for row in csv.DictReader(file)]
    assert answers == ["network", "corrupted cube", "mean training cube", "own mean"]


def test_probe_goes_into_the_logs_where_labels_are_given(fresh_bundle, phantoms):
    fresh_bundle.run(
        "pretrain", probe_datalist=str(phantoms), probe_label_merge={"1": "1-2", "2": "6"}, pretrain_epochs=1
    )
    with (fresh_bundle.root / "runs" / "pretrain" / "metrics.csv").open() as file:
        assert 0 <= float(next(csv.DictReader(file))["probe"]) <= 1


def test_finetuning_starts_from_the_pretrained_weights(bundle, caplog):
    """All but the head is taken over; `--init scratch` takes nothing."""
    pretrained = torch.load(bundle.root / "models" / "pretrained.pt", weights_only=True)
    network = bundle.workflow("finetune").parser.get_parsed_content("network")
    for name, value in network.state_dict().items():
        assert name.startswith("head.") or torch.equal(value, pretrained[name]), name
    scratch = bundle.workflow("finetune", init="scratch").parser.get_parsed_content("network")
    assert not torch.equal(scratch.encoder.levels[0][0].conv.weight, pretrained["encoder.levels.0.0.conv.weight"])


def test_without_validation_the_last_weights_are_the_model(bundle, phantoms, fresh_bundle, tmp_path):
    datalist = json.loads(phantoms.read_text())
    for record in datalist["training"]:
        record |= {key: str(phantoms.parent / record[key]) for key in ("image", "label")}
    (tmp_path / "list.json").write_text(json.dumps({"training": datalist["training"], "validation": []}))
    fresh_bundle.run("finetune", datalist=str(tmp_path / "list.json"), init="scratch")
    assert [path.name for path in (fresh_bundle.root / "models").iterdir()] == ["model.pt"]


def test_inference_answers_on_the_grid_of_an_awkward_scan(bundle, phantoms, tmp_path):
    """Permuted axes, anisotropic, oblique: the label map has the input's shape, affine and, turned back, content."""
    record = json.loads(phantoms.read_text())["test"][0]
    image = nib.load(phantoms.parent / record["image"])
    turned = image.as_reoriented([[1, -1], [2, 1], [0, -1]])
    tilt = nib.eulerangles.euler2mat(x=0.05, z=0.1)
    affine = turned.affine.copy()
    affine[:3, :3] = tilt @ affine[:3, :3]
    nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), affine), tmp_path / "scan.nii.gz")
    bundle.run(
        "inference",
        kind="infer",
        output_dir=str(tmp_path / "out"),
        **{
            "dataset#data": [
                {"image": str(tmp_path / "scan.nii.gz")},
                {"image": str(phantoms.parent / record["image"])},
            ]
        },
    )
    written = {path.name: path for path in (tmp_path / "out").rglob("*.nii.gz")}
    tilted = nib.load(written["scan_seg.nii.gz"])
    assert tilted.shape == turned.shape and tilted.get_data_dtype() == np.uint8
    np.testing.assert_allclose(tilted.affine, affine, atol=1e-4)
    plain = nib.load(written[record["image"].split("/")[-1].replace(".nii.gz", "_seg.nii.gz")])
    expected = np.asarray(plain.as_reoriented([[1, -1], [2, 1], [0, -1]]).dataobj)
    np.testing.assert_array_equal(np.asarray(tilted.dataobj), expected)


def test_scans_of_one_name_do_not_overwrite_each_other(bundle, phantoms, tmp_path):
    record = json.loads(phantoms.read_text())["test"][0]
    image = nib.load(phantoms.parent / record["image"])
    for patient in ("a", "b"):
        (tmp_path / patient).mkdir()
        nib.save(image, tmp_path / patient / "ct.nii.gz")
    records = [{"image": str(tmp_path / patient / "ct.nii.gz")} for patient in ("a", "b")]
    bundle.run("inference", kind="infer", output_dir=str(tmp_path / "out"), **{"dataset#data": records})
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.nii.gz")) == [
        "a/ct_seg.nii.gz",
        "b/ct_seg.nii.gz",
    ]


def test_evaluate_measures_the_test_section(bundle, phantoms, tmp_path):
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "cases.csv").write_text("of another list")
    workflow = bundle.run("finetune", "evaluate", output_dir=str(tmp_path))
    details = workflow.evaluator.state.metric_details["val_mean_dice"]
    assert details.shape == (len(json.loads(phantoms.read_text())["test"]), 2)
    rows = read_table(tmp_path / "evaluation" / "cases.csv")
    assert {row["class"]: row["name"] for row in rows} == {"1": "left_lung+right_lung+nodule", "2": "liver"}
    assert (tmp_path / "evaluation" / "earlier" / "cases.csv").read_text() == "of another list"


def test_evaluate_measures_what_inference_writes(bundle, phantoms, tmp_path):
    """On the images' own grid: Dice and volumes of the files that `inference` writes, at another spacing."""
    coarse = {"spacing_mm": [20.0, 17.0, 22.0], "cube_size": [8, 8, 8]}
    run = {"init": "scratch", "finetune_epochs": 1, **coarse}
    bundle.run("finetune", output_dir=str(tmp_path), **run)
    bundle.run("finetune", "evaluate", output_dir=str(tmp_path / "judged"), init=str(tmp_path / "model.pt"))
    found = {"weights": str(tmp_path / "model.pt"), "output_dir": str(tmp_path / "maps")}
    bundle.run("inference", kind="infer", **found)
    expected = []
    for number, record in enumerate(json.loads(phantoms.read_text())["test"], 1):
        truth = np.asarray(nib.load(phantoms.parent / record["label"]).dataobj)
        name = record["image"].split("/")[-1].replace(".nii.gz", "_seg.nii.gz")
        answer = nib.load(next((tmp_path / "maps").rglob(name)))
        for label, own in ((1, (1, 2, 7)), (2, (6,))):
            a, b = np.asarray(answer.dataobj) == label, np.isin(truth, own)
            ml = float(np.prod(answer.header.get_zooms())) / 1000
            dice = 2 * (a & b).sum() / (a.sum() + b.sum())
            expected.append((number, label, dice, a.sum() * ml, b.sum() * ml))
    rows = read_table(tmp_path / "judged" / "evaluation" / "cases.csv")
    columns = ("case", "class", "dice", "found_ml", "reference_ml")
    measured = [[float(row[name] or np.nan) for name in columns] for row in rows]
    np.testing.assert_allclose(measured, expected, rtol=1e-4)


def test_restore_writes_volumes_and_images(bundle, phantoms, tmp_path):
    bundle.run("restore", kind=None, output_dir=str(tmp_path))
    names = sorted(path.name for path in tmp_path.glob("phantom_*"))
    records = json.loads(phantoms.read_text())["validation"]
    assert len(names) == 4 * len(records)
    original = nib.load(tmp_path / next(name for name in names if "original" in name))
    corrupted = nib.load(tmp_path / next(name for name in names if "corrupted" in name))
    np.testing.assert_allclose(original.affine, corrupted.affine)
    assert not np.array_equal(original.get_fdata(), corrupted.get_fdata())


def test_embed_writes_a_vector_a_volume(bundle, phantoms, tmp_path):
    bundle.run("embed", kind=None, output_dir=str(tmp_path))
    with (tmp_path / "embeddings.csv").open() as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + len(json.loads(phantoms.read_text())["training"])
    assert len(rows[0]) == 1 + 16 * 2  # the last feature map has 16 * width channels


def test_classify_writes_a_classifier_that_predict_applies(bundle, tmp_path):
    bundle.run("classify")
    run = bundle.root / "runs" / "classify"
    assert {"metrics.csv", "predictions.csv", "auc.csv", "report.html"} <= {path.name for path in run.iterdir()}
    bundle.run("predict", kind=None, section="validation", output_dir=str(tmp_path))
    for name in ("predictions.csv", "auc.csv"):  # the same section, network and weights
        assert (tmp_path / name).read_text() == (run / name).read_text()
    weights = torch.load(bundle.root / "models" / "classifier.pt", weights_only=True)
    assert any(name.startswith("encoder.") for name in weights) and not any("decoder" in name for name in weights)


def test_predict_says_which_scans_the_classifier_was_trained_on(bundle, tmp_path, caplog):
    bundle.run("classify")
    for section, said in (("validation", False), ("training", True)):
        caplog.clear()
        bundle.run("predict", kind=None, section=section, output_dir=str(tmp_path / section))
        assert said == ("was trained on" in caplog.text)


def test_a_killed_run_continues_with_the_same_command(fresh_bundle):
    """One epoch, then the command for two; against two at once. Cubes, transforms and network included."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    fresh_bundle.run("pretrain", pretrain_epochs=1)
    fresh_bundle.run("pretrain")
    continued = torch.load(fresh_bundle.root / "runs" / "pretrain" / "last.pt", weights_only=True)
    whole = fresh_bundle.root.parent / "whole"
    fresh_bundle.run("pretrain", output_dir=str(whole))
    torch.set_num_threads(threads)
    expected = torch.load(whole / "last.pt", weights_only=True)
    assert continued["iteration"] == expected["iteration"]
    for name, value in expected["method"].items():
        assert torch.equal(value, continued["method"][name]), name


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in OTHER_NETWORKS])
def test_other_networks_by_one_overlay(fresh_bundle, tmp_path, name):
    """The overlay of docs/howto/another-network.md, behind every task of the way to label maps."""
    ids = {"in_channels": "@in_channels", "out_channels": "@out_channels"}
    overlay = {"network_def": {**OTHER_NETWORKS[name], **ids}}
    (fresh_bundle.root / "configs" / "other.yaml").write_text(yaml.safe_dump(overlay))
    # SwinUNETR halves five times and normalises what is left
    settings = {"cube_size": [64, 32, 32]} if name == "SwinUNETR" else {}
    fresh_bundle.run("pretrain", "other", pretrain_epochs=1, **settings)
    pretrained = torch.load(fresh_bundle.root / "models" / "pretrained.pt", weights_only=True)
    workflow = fresh_bundle.workflow("finetune", "other", finetune_epochs=1, **settings)
    loaded = workflow.parser.get_parsed_content("network").state_dict()
    assert (
        sum(torch.equal(loaded[name], value) for name, value in pretrained.items() if name in loaded) >= len(loaded) - 2
    )
    workflow.run()
    fresh_bundle.run("inference", "other", kind=None, output_dir=str(tmp_path / "maps"), overlap=0, **settings)
    assert list((tmp_path / "maps").rglob("*.nii.gz"))


# bad input


def test_finetuning_without_pretrained_weights_says_so(fresh_bundle):
    with pytest.raises(RuntimeError) as error:
        fresh_bundle.run("finetune")
    assert re.search(r"init: must be a file with .*found '\S+pretrained\.pt', no such file", message_of(error.value))


def test_weights_of_another_network_are_refused(bundle, tmp_path):
    with pytest.raises(RuntimeError) as error:
        bundle.run("finetune", width=4)
    assert re.search(r"width: must be as \S+pretrained\.pt was made with, 2; found 4", message_of(error.value))
    torch.save(UNet3D(1, 1, width=4).state_dict(), tmp_path / "other.pt")
    with pytest.raises(RuntimeError) as error:  # the file does not say how it was made
        bundle.run("finetune", init=str(tmp_path / "other.pt"))
    cause = cause_of(error.value)
    assert isinstance(cause, CheckpointError) and "other.pt" in str(cause)


def test_z_scored_volumes_are_refused_before_training(fresh_bundle, tmp_path):
    generator = np.random.default_rng(0)
    nib.save(nib.Nifti1Image(generator.normal(size=(32, 32, 32)).astype(np.float32), np.eye(4)), tmp_path / "z.nii.gz")
    records = [{"image": "z.nii.gz", "patient": "z"}]
    (tmp_path / "list.json").write_text(json.dumps({"training": records, "validation": records}))
    with pytest.raises(RuntimeError) as error:
        fresh_bundle.run("pretrain", datalist=str(tmp_path / "list.json"))
    cause = find_domain_error(error.value)
    assert isinstance(cause, IntensityRangeError) and "z.nii.gz" in str(cause)
    assert not list((fresh_bundle.root / "models").iterdir())


def test_datalist_naming_absent_files(fresh_bundle, tmp_path):
    (tmp_path / "list.json").write_text(json.dumps({"training": [{"image": "gone.nii.gz", "patient": "a"}]}))
    with pytest.raises(RuntimeError) as error:
        fresh_bundle.run("pretrain", datalist=str(tmp_path / "list.json"))
    cause = find_domain_error(error.value)
    assert isinstance(cause, DatalistError) and "gone.nii.gz" in str(cause)
