"""The `weights` command."""

import json
from pathlib import Path

import pytest
import torch

from medgenesis import bundles, cli
from medgenesis.networks import UNet3D
from medgenesis.weights.layouts.models_genesis import models_genesis_file


@pytest.fixture
def genesis(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(models_genesis_file(UNet3D(width=2).state_dict()), "Genesis_Chest_CT.pt")
    return "Genesis_Chest_CT.pt"


def test_the_catalogue(capsys):
    assert cli.main(["weights", "list"]) == 0
    out = capsys.readouterr().out
    assert "models-genesis " in out and "https://github.com/JLiangLab/Eden (a form on the page)" in out
    assert cli.main(["weights", "list", "moco-v2"]) == 0
    out = capsys.readouterr().out
    assert "CC-BY-NC-4.0" in out and "not allowed" in out and "moco_v2_800ep_pretrain.pth.tar" in out
    assert cli.main(["weights", "list", "moco"]) == 2
    assert "entry: must be one of" in capsys.readouterr().err


def test_inspect_import_and_the_next_task(genesis, capsys):
    assert cli.main(["weights", "inspect", genesis]) == 0
    out = capsys.readouterr().out
    assert "layout: Models Genesis [models-genesis], for UNet3D" in out and "norm=batch_always" in out
    assert "may be Models Genesis [models-genesis]: ASU" in out and "(no commercial use)" in out
    bundles.copy("models_genesis_ct", "mine")
    capsys.readouterr()
    assert cli.main(["weights", "import", genesis, "--bundle", "mine", "-q"]) == 0  # also behind the action
    out = capsys.readouterr().out
    assert "loaded 106 tensors, 100 % of the network's values; dropped 0; missing 0; of another shape 0" in out
    assert "terms: Models Genesis" in out and "written: " in out
    assert json.loads(Path("mine/models/pretrained.json").read_text())["name"] == "models-genesis"
    assert cli.main(["weights", "inspect", "mine/models/pretrained.pt"]) == 0
    assert "layout: of medgenesis, from Models Genesis [models-genesis]: ASU" in capsys.readouterr().out


def test_a_bundle_of_the_package_writes_below_the_current_folder(genesis, tmp_path):
    assert cli.main(["weights", "import", genesis, "--bundle", "models_genesis_ct"]) == 0
    assert (tmp_path / "models_genesis_ct" / "models" / "pretrained.pt").is_file()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html>", "must be a checkpoint; found a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"PK\x03\x04 cut off", "cannot be read"),
    ],
)
@pytest.mark.parametrize("words_before", [["inspect"], ["import", "--bundle", "models_genesis_ct"]])
def test_other_files_in_its_place(tmp_path, monkeypatch, capsys, content, words, words_before):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.pt").write_bytes(content)
    assert cli.main(["weights", words_before[0], "g.pt", *words_before[1:]]) == 2
    error = capsys.readouterr().err
    assert "medgenesis weights: g.pt: " in error and words in error and error.count("\n") == 1


def test_what_no_command_takes(genesis, capsys):
    assert cli.main(["weights", "import", genesis, "--bundle", "models_genesis_ct", "--set", "widht=3"]) == 2
    assert "widht: must be an id" in capsys.readouterr().err
    assert cli.main(["weights", "export", genesis, "o.pt", "--layout", "genesis"]) == 2
    assert "layout: must be one of models-genesis" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["weights"])
