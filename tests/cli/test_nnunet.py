"""The `nnunet` command, from the plans to what is written."""

import json

import pytest
import torch
from helpers.nnunet import IDENTIFIER, plans, write_dataset

from medgenesis import cli
from medgenesis.data import load_datalist
from medgenesis.data.nnunet import plan_of
from medgenesis.networks import planned_network
from medgenesis.weights import settings_of, with_settings


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "Dataset001_Test", 4)


def answer(capsys, *words):
    status = cli.main(["nnunet", *map(str, words)])
    said = capsys.readouterr()
    return status, said.out.strip(), said.err


def test_a_bundle_a_list_and_a_start_for_nnunet(dataset, tmp_path, capsys):
    pytest.importorskip("dynamic_network_architectures")
    status, out, _ = answer(capsys, "plan2bundle", dataset / "nnUNetPlans.json", "--out", tmp_path / "b")
    assert status == 0 and out == str(tmp_path / "b")
    assert "T0: ZScoreNormalization" in (tmp_path / "b" / "docs" / "README.md").read_text()
    status, out, _ = answer(capsys, "datalist", dataset / IDENTIFIER, "--out", tmp_path / "list.json")
    assert status == 0 and len(load_datalist(out, "training")) == 3
    assert cli.main(["run", str(tmp_path / "b"), "pretrain", "--datalist", out, "--dry-run"]) == 0
    capsys.readouterr()
    plan = plan_of(plans(), source="plans")
    network = planned_network(plan["architecture"], 1, 1)
    torch.save(with_settings(network.state_dict(), {"plan": plan}), tmp_path / "p.pt")
    status, out, _ = answer(capsys, "export", tmp_path / "p.pt", "--out", tmp_path / "start.pth")
    assert status == 0 and set(torch.load(out, weights_only=True)) == {"network_weights", "medgenesis"}
    status, out, _ = answer(
        capsys, "export", tmp_path / "p.pt", "--plans", dataset / "nnUNetPlans.json", "--out", tmp_path / "s2.pth"
    )
    assert status == 0


def test_a_fold_becomes_a_bundle_with_weights(tmp_path, capsys, caplog):
    caplog.set_level("INFO")
    pytest.importorskip("dynamic_network_architectures")
    plan = plan_of(plans(), source="plans")
    weights = planned_network(plan["architecture"], 1, 2).state_dict()
    said = {"plans": plans(), "configuration": "3d_fullres", "dataset_json": {"channel_names": {"0": "T1"}}}
    (tmp_path / "fold_3").mkdir()
    torch.save({"network_weights": weights, "init_args": said}, tmp_path / "fold_3" / "checkpoint_final.pth")
    status, out, _ = answer(capsys, "import", tmp_path / "fold_3", "--out", tmp_path / "b")
    assert status == 0 and out == str(tmp_path / "b")
    listed = (
        f"nnUNet_preprocessed/Dataset001_Test/{IDENTIFIER} --fold 3 --out fold.json"  # of the cases it has not seen
    )
    assert (
        f"next: medgenesis nnunet datalist {listed}" in caplog.text and "finetune --datalist fold.json" in caplog.text
    )
    assert settings_of(tmp_path / "b" / "models" / "pretrained.pt")["plan"]["channels"][0]["name"] == "T1"


def test_weights_of_nnssl_in_the_network_of_plans(tmp_path, capsys):
    """Their adaptation plan is shown and kept; without a decoder nothing goes out to nnU-Net."""
    pytest.importorskip("dynamic_network_architectures")
    dataset = write_dataset(tmp_path / "Dataset001_Test", 2, content=plans(residual=True))
    answer(capsys, "plan2bundle", dataset / "nnUNetPlans.json", "--out", tmp_path / "b")
    encoder = planned_network(plan_of(plans(residual=True), source="plans")["architecture"], 1, 1).encoder.state_dict()
    trained = {
        "patch_size": (160, 160, 160),
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
    }
    plan = {"architecture_plans": {"arch_class_name": "ResEncL"}, "recommended_downstream_patchsize": (96, 96, 96)}
    plan |= {"pretrain_plan": {"configurations": {"onemmiso": trained}}}
    weights = {f"encoder.{key}": value for key, value in encoder.items()}
    torch.save({"network_weights": weights, "nnssl_adaptation_plan": plan}, tmp_path / "checkpoint_final.pth")
    assert cli.main(["weights", "inspect", str(tmp_path / "checkpoint_final.pth")]) == 0
    told = capsys.readouterr().out
    assert (
        "told by the file: architecture=ResEncL, patch_size=[96, 96, 96], pre-trained by onemmiso={'patch_size': [160"
        in told
    )
    words = ["weights", "import", str(tmp_path / "checkpoint_final.pth"), "--bundle", str(tmp_path / "b")]
    assert cli.main([*words, "--entry", "openmind"]) == 0
    sidecar = json.loads((tmp_path / "b" / "models" / "pretrained.json").read_text())
    assert sidecar["told_by_file"]["pre-trained by onemmiso"]["spacing"] == [1.0, 1.0, 1.0]
    assert sidecar["missing"] == [] and all(key.startswith("decoder.") for key in sidecar["newly_initialised"])
    capsys.readouterr()
    status, _, err = answer(capsys, "export", tmp_path / "b" / "models" / "pretrained.pt", "--out", tmp_path / "s.pth")
    assert status == 2 and "must have every weight of the plans' network but its heads" in err


def test_what_is_wrong_is_said_in_one_line_and_nothing_is_left(dataset, tmp_path, capsys):
    status, _, err = answer(
        capsys, "plan2bundle", dataset / "nnUNetPlans.json", "--configuration", "3d_lower", "--out", tmp_path / "b"
    )
    assert status == 2 and "must be one of 2d, 3d_fullres" in err.splitlines()[-1]
    (dataset / "dataset.json").write_text(json.dumps({"channel_names": {"0": "a", "1": "b"}}))
    status, _, err = answer(capsys, "plan2bundle", dataset / "nnUNetPlans.json", "--out", tmp_path / "b")
    assert status == 2 and "must have the channels of dataset.json" in err.splitlines()[-1]
    status, _, err = answer(capsys, "import", tmp_path / "absent", "--out", tmp_path / "b")
    assert status == 2 and "found no such file" in err.splitlines()[-1]
    assert not (tmp_path / "b").exists()


def test_without_the_package_nothing_is_written(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dynamic_network_architectures.architectures.unet", None)
    status, _, err = answer(capsys, "plan2bundle", dataset / "nnUNetPlans.json", "--out", tmp_path / "b")
    assert status == 2 and 'pip install "medgenesis[nnunet]"' in err and not (tmp_path / "b").exists()
