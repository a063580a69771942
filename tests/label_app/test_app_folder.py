"""The folder that the server and the trainings start from: labels, weights, and what is refused before a start."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from helpers.nnunet import plans

from medgenesis import bundles, cli
from medgenesis.data.nnunet import plan_of
from medgenesis.errors import CheckpointError, DatalistError, OutputError, cause_of
from medgenesis.label_app import AppSettings, prepare
from medgenesis.label_app.app_folder import served_alone
from medgenesis.label_app.config_parts import check_training
from medgenesis.weights import with_settings
from medgenesis.weights.experiments import experiment_names

BUNDLE = "models_genesis_ct"


def _model(path, names):
    torch.save(with_settings({"w": torch.zeros(1)}, {"label_names": {0: "background", **names}}), path)
    return path


def test_what_is_written_is_read_back(tmp_path):
    made = prepare(
        tmp_path / "app", bundles.path(BUNDLE), ["Liver", "left lung"], weights="scratch", overlays=["quick"]
    )
    assert AppSettings.read(tmp_path / "app") == made
    assert made.classes == {"Liver": 1, "left lung": 2} and made.name == BUNDLE
    assert _names(made.files("finetune")) == ["finetune.yaml", "few_labels.yaml", "quick.yaml"]
    assert _names(made.files("inference")) == ["inference.yaml", "quick.yaml"]
    assert "LabelApp" in (tmp_path / "app" / "main.py").read_text()


def _names(files):
    return [path.rsplit("/", 1)[1] for path in files]


def test_few_labels_is_for_the_bundles_own_network(tmp_path):
    bundle = bundles.copy(BUNDLE, tmp_path / "bundle")
    other = "network_def: {_target_: monai.networks.nets.SegResNet}\n"
    (bundle / "configs" / "mine.yaml").write_text(other)
    settings = AppSettings(BUNDLE, str(bundle), ["liver"])
    assert _names(settings.files("finetune")) == ["finetune.yaml", "few_labels.yaml"]
    (bundle / "configs" / "whole.yaml").write_text("network: {_target_: medgenesis.networks.YNet3D}\n")
    for changed in (
        {"overlays": ["mine"]},
        {"overlays": ["whole"]},
        {"settings": {"network_def#_target_": "monai.networks.nets.SegResNet"}},
    ):
        assert "few_labels.yaml" not in _names(replace(settings, **changed).files("finetune"))
    (bundle / "configs" / "part.yaml").write_text("network#skip_head: always\n")
    part = replace(settings, overlays=["part"])
    assert _names(part.files("finetune")) == ["finetune.yaml", "few_labels.yaml", "part.yaml"]
    twice = replace(settings, overlays=["quick", "few_labels"])
    assert _names(twice.files("finetune")) == ["finetune.yaml", "quick.yaml", "few_labels.yaml"]
    (bundle / "configs" / "few_labels.yaml").unlink()  # a copy of an earlier version
    assert _names(settings.files("finetune")) == ["finetune.yaml"]


@pytest.mark.parametrize("name", bundles.names())
def test_without_names_those_of_the_bundle(tmp_path, name):
    made = prepare(tmp_path, bundles.path(name), weights="scratch")
    metadata = json.loads((bundles.path(name) / "configs" / "metadata.json").read_text())
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert {str(value): one for one, value in made.classes.items()} | {"0": "background"} == channels


def test_an_earlier_model_counts_with_its_own_labels_alone(tmp_path, caplog):
    model = _model(tmp_path / "model.pt", {1: "spleen"})
    own = prepare(tmp_path / "a", bundles.path(BUNDLE), weights="scratch", model=model)
    assert own.labels == ["spleen"] and own.model == str(model)
    other = prepare(tmp_path / "a", bundles.path(BUNDLE), ["liver"], weights="scratch", model=model)
    assert other.model is None and "segments spleen, so that it is left aside" in caplog.text


def test_an_earlier_model_counts_whatever_the_order_of_its_labels(tmp_path):
    model = _model(tmp_path / "model.pt", {1: "spleen", 2: "liver"})
    own = prepare(tmp_path / "a", bundles.path(BUNDLE), ["liver", "Spleen"], weights="scratch", model=model)
    assert own.model == str(model) and own.labels == ["liver", "Spleen"]
    more = prepare(tmp_path / "a", bundles.path(BUNDLE), ["liver", "Spleen", "lungs"], weights="scratch", model=model)
    assert more.model is None


def test_weights_of_our_own_experiments_are_found_by_name(tmp_path):
    name = experiment_names()[0]
    made = prepare(tmp_path, bundles.path(BUNDLE), ["liver"], weights=name)
    assert made.weights.endswith(f"{name}.pt") and made.made_with  # read, for its checksum


def test_what_cannot_be(tmp_path):
    with pytest.raises(CheckpointError, match="--weights: must be a file"):
        prepare(tmp_path, bundles.path(BUNDLE), ["liver"], weights=tmp_path / "none.pt")
    name = experiment_names()[0]
    with pytest.raises(CheckpointError, match=f"--weights: .*; found '{name[:-1]}', no such file. Nearest: {name}[,.]"):
        prepare(tmp_path, bundles.path(BUNDLE), ["liver"], weights=name[:-1])
    for names in (["liver", "Liver "], ["background"], [""]):
        with pytest.raises(DatalistError, match="--labels: must be"):
            prepare(tmp_path, bundles.path(BUNDLE), names, weights="scratch")
    (tmp_path / "label_app.json").write_text("{")
    with pytest.raises(DatalistError, match="cannot be read"):
        AppSettings.read(tmp_path)


def test_without_weights_a_fresh_bundle_is_told_to_pretrain_first(tmp_path):
    said = (
        rf"found no file .*pretrained\.pt\. Pre-train first \(`medgenesis run {BUNDLE} pretrain`\).*: --weights scratch"
    )
    with pytest.raises(CheckpointError, match=said):
        prepare(tmp_path / "app", bundles.path(BUNDLE), ["liver"], results=tmp_path)
    (tmp_path / "models").mkdir()
    own = _model(tmp_path / "models" / "pretrained.pt", {})
    assert prepare(tmp_path / "app", bundles.path(BUNDLE), ["liver"], results=tmp_path).weights == str(own)


def test_the_start_warns_of_nothing_that_the_user_did_not_set(tmp_path, caplog):
    check_training(prepare(tmp_path, bundles.path(BUNDLE), weights="scratch", overlays=["quick"]))
    assert [one.getMessage() for one in caplog.records if one.name.startswith("medgenesis")] == []


def test_a_network_that_cannot_be_built_is_refused_at_the_start(tmp_path, monkeypatch):
    """As a bundle of nnU-Net's plans where its package is absent: the first training failed, after the drawing."""
    root = bundles.copy_planned("models_genesis_ct", tmp_path / "b", plan_of(plans(), source="plans"), "plans")
    made = prepare(tmp_path / "app", root, ["liver"], weights="scratch")
    for name in ("", ".architectures", ".architectures.unet"):
        monkeypatch.setitem(sys.modules, f"dynamic_network_architectures{name}", None)
    with pytest.raises((ValueError, RuntimeError)) as refused:
        check_training(made)
    assert "dynamic_network_architectures: must be installed" in str(cause_of(refused.value))


@pytest.fixture
def server(tmp_path):
    """A process that serves the app, as far as its folder tells; killed when the test ends."""
    serves = "import sys, time; from medgenesis.label_app.app_folder import served_alone\n"
    serves += "with served_alone(sys.argv[1]):\n    print('serves', flush=True); time.sleep(600)"
    command = [sys.executable, "-c", serves, str(tmp_path / "app")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "serves\n"
    yield process
    process.kill()
    process.wait()


def test_what_a_server_trains_is_not_changed_beside_it(tmp_path, server, capsys):
    """A second start wrote its own labels, which the next training of the first took."""
    words = ["label-app", BUNDLE, "--app", str(tmp_path / "app"), "--studies", str(tmp_path), "--weights", "scratch"]
    same = prepare(tmp_path / "other", bundles.path(BUNDLE), ["liver"], weights="scratch")
    same.write(tmp_path / "app")
    said = f"which is served by process {server.pid} of .*Stop it, or give another --app"
    for label in ("liver", "spleen"):
        with pytest.raises(OutputError, match=said):
            prepare(tmp_path / "app", bundles.path(BUNDLE), [label], weights="scratch")
    with pytest.raises(OutputError, match=said), served_alone(tmp_path / "app"):
        pass
    assert cli.main([*words, "--labels", "spleen", "--prepare-only"]) != 0
    assert f"served by process {server.pid}" in capsys.readouterr().err
    assert AppSettings.read(tmp_path / "app") == same
    server.kill()
    server.wait()
    changed = prepare(tmp_path / "app", bundles.path(BUNDLE), ["spleen"], weights="scratch")
    assert AppSettings.read(tmp_path / "app") == changed and not (tmp_path / "app" / ".running").exists()


def test_weights_of_mr_ask_a_server_for_mr(tmp_path):
    """CT was searched for, and nothing found."""
    mr = tmp_path / "mr.pt"
    torch.save(with_settings({"w": torch.zeros(1)}, {"intensity": "mri_percentile"}), mr)
    settings = AppSettings(BUNDLE, str(bundles.path(BUNDLE)), ["liver"], str(mr))
    assert settings.modality == "MR"
    assert replace(settings, settings={"intensity": "ct"}).modality == "CT"
    assert replace(settings, weights="scratch").modality == "CT"
