"""The configs of transvw_ct, run as a user runs them, on tiny phantoms and a table of two patterns."""

import csv
import json

import pytest
import torch


@pytest.fixture(scope="module")
def trained(tmp_path_factory, copied, patterns):
    """The bundle, pre-trained and fine-tuned for two epochs."""
    bundle = copied("transvw_ct", tmp_path_factory.mktemp("transvw"))
    bundle.run("pretrain", patterns=str(patterns))
    bundle.run("finetune")
    return bundle


def weights_of(path):
    return torch.load(path, weights_only=True)


def test_pretraining_has_all_properties(trained, patterns, tmp_path):
    assert trained.workflow("pretrain", patterns=str(patterns), output_dir=str(tmp_path)).check_properties() == []


def test_volumes_are_prepared_as_they_were_mined(trained, patterns, tmp_path):
    """Places in a table are voxels of prepared volumes: its settings go before those of settings.yaml."""
    table = json.loads(patterns.read_text())
    table["settings"]["prepared"] = {"intensity": "mri_percentile", "spacing_mm": None}
    mined = patterns.with_name("mined_as_mr.json")
    mined.write_text(json.dumps(table))
    given = {"patterns": str(mined), "output_dir": str(tmp_path)}
    assert trained.workflow("pretrain", **given).parser.get_parsed_content("intensity") == "mri_percentile"
    with pytest.raises(RuntimeError) as error:
        trained.workflow("pretrain", intensity="ct", **given)
    said = str(error.getrepr(style="long"))
    assert "intensity: must be as " in said and "mined_as_mr.json was mined with, mri_percentile; found ct" in said


def test_pretraining_writes_what_the_table_says(trained):
    run = trained.root / "runs" / "pretrain"
    names = {path.name for path in run.iterdir()}
    assert {"last.pt", "best.pt", "metrics.csv", "tensorboard", "images", "restoration.csv"} <= names
    with (run / "metrics.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    loss = float(row["restoration"]) + 0.01 * float(row["classification"])
    assert float(row["loss"]) == pytest.approx(loss, rel=1e-3)
    assert 0 <= float(row["val_accuracy"]) <= 1


def test_the_network_is_kept_for_transfer_and_the_class_head_for_a_restart(trained):
    network = weights_of(trained.root / "models" / "pretrained.pt")
    method = weights_of(trained.root / "runs" / "pretrain" / "best.pt")["method"]
    assert {name.split(".")[0] for name in network} == {"encoder", "decoder", "head"}
    own = {name for name in method if name.startswith("classifier.")}
    assert own and set(method) - own == {f"method.network.{name}" for name in network}


def test_finetuning_takes_encoder_and_decoder(trained):
    pretrained = weights_of(trained.root / "models" / "pretrained.pt")
    network = trained.workflow("finetune").parser.get_parsed_content("network")
    for name, value in network.state_dict().items():
        assert name.startswith("head.") or torch.equal(value, pretrained[name]), name


@pytest.mark.slow  # its family's files run in test_models_genesis_ct.py
def test_the_pretrained_network_segments_restores_and_embeds(trained, phantoms, tmp_path):
    records = json.loads(phantoms.read_text())
    trained.run("inference", kind="infer", output_dir=str(tmp_path / "inference"))
    assert len(list((tmp_path / "inference").rglob("*_seg.nii.gz"))) == len(records["test"])
    trained.run("restore", kind=None, output_dir=str(tmp_path / "restore"))
    assert len(list((tmp_path / "restore").glob("phantom_*"))) == 4 * len(records["validation"])
    trained.run("embed", kind=None, output_dir=str(tmp_path))
    assert len((tmp_path / "embeddings.csv").read_text().splitlines()) == 1 + len(records["training"])


@pytest.mark.slow  # its family's files run in test_models_genesis_ct.py
def test_a_killed_run_continues_with_the_same_command(trained, patterns, tmp_path, one_thread):
    """One epoch, then the command for two; against two at once. Class head and schedule included."""
    settings = {"patterns": str(patterns), "weights": str(tmp_path / "weights.pt"), "lr_step_epochs": 1}
    trained.run("pretrain", output_dir=str(tmp_path / "killed"), pretrain_epochs=1, **settings)
    for name in ("killed", "whole"):
        trained.run("pretrain", output_dir=str(tmp_path / name), **settings)
    continued, expected = (weights_of(tmp_path / name / "last.pt") for name in ("killed", "whole"))
    assert continued["iteration"] == expected["iteration"]
    assert continued["lr_scheduler"] == expected["lr_scheduler"]
    for name, value in expected["method"].items():
        assert torch.equal(value, continued["method"][name]), name
