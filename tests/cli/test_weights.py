"""The `weights` command."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from monai.networks.nets import SwinUNETR

from medgenesis import bundles, cli
from medgenesis.networks import UNet3D
from medgenesis.weights import initialise, with_settings
from medgenesis.weights.catalog import CATALOG
from medgenesis.weights.layouts.models_genesis import models_genesis_file
from medgenesis.weights.origin import origin_of


@pytest.fixture
def genesis(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(models_genesis_file(UNet3D(width=2).state_dict()), "Genesis_Chest_CT.pt")
    return "Genesis_Chest_CT.pt"


def test_the_catalogue(capsys):
    assert cli.main(["weights", "list"]) == 0
    out = capsys.readouterr().out
    assert "models-genesis " in out and "https://github.com/MR-HosseinzadehTaher/Eden (a form on the page)" in out
    expected = out.partition("what input they expect:\n")[2].splitlines()
    assert [line.split()[0] for line in expected[: len(CATALOG)]] == [one.name for one in CATALOG]
    assert any("less ImageNet's mean" in line for line in expected)
    assert "CC BY-SA 4.0" in next(line for line in out.splitlines() if line.startswith("experiment-hippocampus-mr-"))
    assert cli.main(["weights", "list", "experiment-hippocampus-mr-models-genesis"]) == 0
    assert "no clinical model" in capsys.readouterr().out
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


def test_weights_of_swin_unetr_by_the_page(tmp_path, monkeypatch, capsys):
    """The overlay of docs/howto/another-network.md, of a smaller network; `inspect` tells its arguments."""
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "howto" / "another-network.md").read_text()
    overlay = re.search(r"^# my_swin/configs/swin.yaml\n(.*?)^```$", page, re.M | re.S)[1]
    bundles.copy("models_genesis_ct", "my_swin")
    Path("my_swin/configs/swin.yaml").write_text(re.sub("feature_size: 48", "feature_size: 12", overlay))
    network = SwinUNETR(in_channels=1, out_channels=2, feature_size=12, use_v2=True)
    encoder = {k: value for k, value in network.state_dict().items() if not k.startswith(("decoder", "out."))}
    torch.save(encoder, "VoCo_B_SSL_head.pt")
    assert cli.main(["weights", "inspect", "VoCo_B_SSL_head.pt"]) == 0
    told = (
        "told by the file: in_channels=1, feature_size=12, depths=[2, 2, 2, 2], num_heads=[3, 6, 12, 24], use_v2=True"
    )
    assert told in capsys.readouterr().out
    assert cli.main(["weights", "import", "VoCo_B_SSL_head.pt", "--bundle", "my_swin", "--overlay", "swin"]) == 0
    assert "cube_size [96, 96, 96]" in capsys.readouterr().out
    sidecar = json.loads(Path("my_swin/models/pretrained.json").read_text())
    assert sidecar["told_by_file"]["feature_size"] == 12 and sidecar["loaded"] == len(encoder)
    assert {key.partition(".")[0] for key in sidecar["newly_initialised"]} >= {"decoder5", "out"}


def test_the_model_card_has_the_terms_of_the_weights(genesis, capsys):
    """Derived weights keep them; those of no published weights leave the card as it is."""
    folder = bundles.copy("models_genesis_ct", "mine")
    network = UNet3D(width=2)
    initialise(network, genesis)
    torch.save(with_settings(network.state_dict(), {"width": 2}, origin_of(network)), folder / "models" / "model.pt")
    assert cli.main(["weights", "card", "mine"]) == 0
    assert "models/model.pt: Models Genesis [models-genesis], trained further: ASU" in capsys.readouterr().out
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    header = yaml.safe_load(header)
    assert (header["license"], header["license_name"]) == ("other", "terms-of-models-genesis")
    assert header["license_link"] == "https://github.com/MrGiovanni/ModelsGenesis"
    assert "`models/model.pt`: Models Genesis; ASU GitHub Project licence: academic, non-commercial" in text
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    assert cli.main(["weights", "card", "mine"]) == 0
    assert "models/phantom_demo.pt: medgenesis, small weights of computed phantoms" in capsys.readouterr().out
    assert yaml.safe_load((folder / "README.md").read_text().split("---\n", 2)[1])["license"] == "apache-2.0"
    shutil.copy(genesis, folder / "models" / "Genesis_Chest_CT.pt")  # the authors' file, as it is
    assert cli.main(["weights", "card", "mine"]) == 0
    assert yaml.safe_load((folder / "README.md").read_text().split("---\n", 2)[1])["license"] == "other"
    assert cli.main(["weights", "card", "models_genesis_ct"]) == 2
    assert "BUNDLE: must be the folder of a copy" in capsys.readouterr().err
