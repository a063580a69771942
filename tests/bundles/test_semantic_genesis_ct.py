"""The configs of semantic_genesis_ct, run as a user runs them, on tiny phantoms and a table of two patterns."""

import csv
import json
import logging

import nibabel as nib
import pytest
import torch

from medgenesis.errors import CheckpointError, DatalistError, cause_of
from medgenesis.mining import PatternTable


@pytest.fixture(scope="module")
def trained(tmp_path_factory, copied, patterns):
    """The bundle: the encoder pre-trained alone, then with decoder from that, then fine-tuned."""
    bundle = copied("semantic_genesis_ct", tmp_path_factory.mktemp("semantic"))
    table = {"patterns": str(patterns)}
    bundle.run("pretrain", variant="en", **table)
    bundle.run("pretrain", init=str(bundle.root / "models" / "pretrained_en.pt"), **table)
    bundle.run("finetune")
    return bundle


def weights_of(bundle, name):
    return torch.load(bundle.root / "models" / f"{name}.pt", weights_only=True)


def parts_of(weights):
    return {name.split(".")[0] for name in weights}


def table_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_pretraining_has_all_properties(trained, patterns, tmp_path):
    assert trained.workflow("pretrain", patterns=str(patterns), output_dir=str(tmp_path)).check_properties() == []


def test_encoder_and_decoder_write_what_the_table_says(trained):
    run = trained.root / "runs" / "pretrain"
    names = {path.name for path in run.iterdir()}
    assert {"last.pt", "best.pt", "metrics.csv", "tensorboard", "images", "restoration.csv"} <= names
    row = table_of(run / "metrics.csv")[-1]
    measured = {"loss", "restoration", "classification", "accuracy"}
    assert measured | {f"val_{name}" for name in measured} <= set(row)
    loss = float(row["restoration"]) + 0.01 * float(row["classification"])
    assert float(row["loss"]) == pytest.approx(loss, rel=1e-3)
    answers = [line["answer"] for line in table_of(run / "restoration.csv")]
    assert answers == ["network", "corrupted cube", "mean training cube", "own mean"]
    assert parts_of(weights_of(trained, "pretrained")) == {"encoder", "decoder", "head", "classifier"}


def test_the_encoder_alone_classifies_and_has_nothing_to_show(trained):
    run = trained.root / "runs" / "pretrain_en"
    names = {path.name for path in run.iterdir()}
    assert {"last.pt", "best.pt", "metrics.csv"} <= names and not {"images", "restoration.csv"} & names
    row = table_of(run / "metrics.csv")[-1]
    assert row["loss"] == row["classification"] and "restoration" not in row
    assert parts_of(weights_of(trained, "pretrained_en")) == {"encoder", "classifier"}


def test_encoder_and_decoder_may_start_from_the_encoder_alone(trained, patterns, tmp_path, caplog):
    """Encoder and classes are taken over; that the decoder is new is said."""
    file, start = trained.root / "models" / "pretrained_en.pt", weights_of(trained, "pretrained_en")
    settings = {"patterns": str(patterns), "output_dir": str(tmp_path), "init": str(file)}
    with caplog.at_level(logging.WARNING):
        network = trained.workflow("pretrain", **settings).parser.get_parsed_content("network")
    state = network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in start.items())
    assert f"{file} has no decoder" in caplog.text
    scratch = trained.workflow("pretrain", **{**settings, "init": "scratch"}).parser.get_parsed_content("network")
    weight = "encoder.levels.0.0.conv.weight"
    assert not torch.equal(scratch.state_dict()[weight], start[weight])


def test_a_table_without_validation_is_judged_by_what_it_learns_from(trained, patterns, tmp_path):
    table = PatternTable.load(patterns)
    wanted = {"train": table.training, "validate": table.validation}
    for path in (patterns, patterns.with_name("training_only.json")):
        parser = trained.workflow("pretrain", patterns=str(path), output_dir=str(tmp_path)).parser
        for part, items in wanted.items():
            assert parser.get_parsed_content(f"{part}#dataset").items == items
        table.validation, wanted["validate"] = [], table.training
        table.save(patterns.with_name("training_only.json"))
    trained.run("pretrain", patterns=str(path), output_dir=str(tmp_path), weights=str(tmp_path / "w.pt"))
    assert float(table_of(tmp_path / "metrics.csv")[-1]["val_loss"]) > 0


def test_finetuning_takes_encoder_and_decoder(trained):
    pretrained = weights_of(trained, "pretrained")
    network = trained.workflow("finetune").parser.get_parsed_content("network")
    for name, value in network.state_dict().items():
        assert name.startswith("head.") or torch.equal(value, pretrained[name]), name


@pytest.mark.slow  # its family's files run in test_models_genesis_ct.py
def test_inference_answers_on_the_grid_of_the_scan(trained, phantoms, tmp_path):
    trained.run("inference", kind="infer", output_dir=str(tmp_path))
    records = json.loads(phantoms.read_text())["test"]
    written = sorted(tmp_path.rglob("*_seg.nii.gz"))
    assert len(written) == len(records)
    scan, labels = nib.load(phantoms.parent / records[0]["image"]), nib.load(written[0])
    assert labels.shape == scan.shape
    assert abs(labels.affine - scan.affine).max() < 1e-4


@pytest.mark.slow  # its family's files run in test_models_genesis_ct.py
def test_evaluate_measures_the_test_section(trained, phantoms, tmp_path):
    workflow = trained.run("finetune", "evaluate", output_dir=str(tmp_path))
    details = workflow.evaluator.state.metric_details["val_mean_dice"]
    assert details.shape == (len(json.loads(phantoms.read_text())["test"]), 2)


@pytest.mark.slow  # its family's files run in test_models_genesis_ct.py
def test_restore_writes_volumes_and_images(trained, phantoms, tmp_path):
    trained.run("restore", kind=None, output_dir=str(tmp_path))
    assert len(list(tmp_path.glob("phantom_*"))) == 4 * len(json.loads(phantoms.read_text())["validation"])


def test_an_encoder_alone_cannot_restore(trained, tmp_path):
    file = trained.root / "models" / "pretrained_en.pt"
    with pytest.raises(RuntimeError) as error:
        trained.run("restore", kind=None, output_dir=str(tmp_path), weights=str(file))
    found = cause_of(error.value)
    assert isinstance(found, CheckpointError) and str(file) in str(found)
    assert "missing in the file (decoder." in str(found)


@pytest.mark.parametrize("name", ["pretrained", "pretrained_en"])
def test_embed_takes_either_variant(trained, phantoms, tmp_path, name):
    trained.run("embed", kind=None, output_dir=str(tmp_path), weights=str(trained.root / "models" / f"{name}.pt"))
    rows = table_of(tmp_path / "embeddings.csv")
    assert len(rows) == len(json.loads(phantoms.read_text())["training"])
    assert len(rows[0]) == 1 + 16 * 2  # the last feature map has 16 * width channels


def test_classify_starts_from_the_encoder_alone(trained):
    start = weights_of(trained, "pretrained_en")
    settings = {"init": str(trained.root / "models" / "pretrained_en.pt")}
    state = trained.workflow("classify", **settings).parser.get_parsed_content("network").state_dict()
    assert all(torch.equal(state[name], start[name]) for name in start if name.startswith("encoder."))
    trained.run("classify", **settings)
    assert parts_of(weights_of(trained, "classifier")) >= {"encoder"}


def test_what_mine_writes_is_what_pretrain_reads(trained, tmp_path):
    """Patterns by the encoder's own features; the table is found without a setting, volumes are prepared once."""
    features, size = trained.root / "models" / "pretrained_en.pt", [16, 16, 16]
    few = {"classes": 2, "train_patients": 2, "validation_patients": 2, "volume_size": size, "min_distance": 1}
    trained.run("mine", kind=None, bundle_root=str(tmp_path), features=str(features), **few)
    prepared = sorted((tmp_path / "runs" / "mine" / "cache").glob("*.pt"))
    workflow = trained.run("pretrain", bundle_root=str(tmp_path), variant="en", pretrain_epochs=1)
    assert workflow.parser.get_parsed_content("network").classifier.fc.out_features == 2
    assert len(workflow.trainer.data_loader.dataset) == 2 * 2
    assert prepared and sorted((tmp_path / "runs" / "mine" / "cache").glob("*.pt")) == prepared
    assert (tmp_path / "models" / "pretrained_en.pt").is_file()


# bad input


def cause(bundle, **settings):
    with pytest.raises(Exception) as error:
        bundle.run("pretrain", **settings)
    return cause_of(error.value)


def test_a_misspelt_variant_is_refused(trained, patterns, tmp_path):
    found = cause(trained, variant="encoder", patterns=str(patterns), bundle_root=str(tmp_path))
    assert isinstance(found, ValueError) and "'encoder'" in str(found) and "en_de" in str(found)
    assert not any(tmp_path.iterdir())


def test_a_table_that_is_not_there(trained, tmp_path):
    found = cause(trained, patterns=str(tmp_path / "patterns.json"), output_dir=str(tmp_path / "run"))
    assert isinstance(found, DatalistError) and f"{tmp_path / 'patterns.json'}: must be a table of patterns" in str(
        found
    )


def test_patterns_mined_with_another_preprocessing(trained, patterns, tmp_path):
    found = cause(trained, patterns=str(patterns), output_dir=str(tmp_path / "run"), spacing_mm=[50.0, 50.0, 50.0])
    assert isinstance(found, ValueError) and "when it was mined" in str(found)
    assert not (tmp_path / "run" / "last.pt").exists()
