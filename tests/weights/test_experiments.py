"""The experimental weights that come with medgenesis: small, said to be no clinical model, loaded by their names."""

import pytest
import torch

from medgenesis import bundles
from medgenesis.errors import CheckpointError
from medgenesis.inference import fit_voxel_probe
from medgenesis.networks import UNet3D
from medgenesis.storage import read_checkpoint
from medgenesis.transfer.protocols.last_weights import prepare_training
from medgenesis.weights import load_pretrained, settings_of
from medgenesis.weights.experiments import FOLDER, PREFIX, SAID, experiment_card, experiment_names, located
from medgenesis.weights.named import check_weights

NAMES = experiment_names()


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small_and_say_what_they_are(name):
    (header, text), file = experiment_card(name), FOLDER / f"{name}.pt"
    assert name.startswith(PREFIX) and file.stat().st_size < 5e6
    assert SAID in text and "## What was measured" in text and "| 200 | scratch |" in text
    origin = settings_of(name).origin
    assert origin["terms"].startswith(header["terms"]) and header["terms"] in text
    assert origin["commercial_use"] and "nc" not in header["license"].split("-")


@pytest.mark.parametrize("name", NAMES)
def test_frozen_and_fine_tuned_networks_begin_with_them(name, tmp_path):
    """The bundle takes width, spacing and intensities from the file; nothing but the name is typed."""
    root, records = bundles.path("models_genesis_ct"), []
    configs = [root / "configs" / "finetune.yaml"]
    overrides = {"num_classes": 3, "in_channels": 1, "bundle_root": str(root)}
    workflow = prepare_training(configs, records, records, tmp_path, init=name, seed=0, overrides=overrides)
    network, spacing, intensity = map(workflow.parser.get_parsed_content, ("network", "spacing_mm", "intensity"))
    kept, weights = settings_of(name), read_checkpoint(FOLDER / f"{name}.pt")
    assert isinstance(network, UNet3D) and (spacing, intensity) == (kept["spacing_mm"], kept["intensity"])
    own = network.state_dict()
    assert all(torch.equal(own[key], value.float()) for key, value in weights.items() if not key.startswith("head."))
    image = torch.rand(2, 1, *kept["cube_size"])
    label = (image > 0.5).long()
    network(image).mean().backward()
    assert all(value.grad is not None for key, value in network.named_parameters() if key != "head.conv.bias")
    probe = fit_voxel_probe(network, zip(image, label, strict=True), 3, per_class=20)
    assert probe(image).shape == (2, 3, *kept["cube_size"])


def test_a_name_is_a_file_unless_another_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert located(NAMES[0]) == str(FOLDER / f"{NAMES[0]}.pt")
    assert load_pretrained(UNet3D(width=8), NAMES[0]).complete
    for other in ("scratch", "model.pt", f"{PREFIX}of-nothing", None):
        assert located(other) is other
    (tmp_path / NAMES[0]).touch()
    assert located(NAMES[0]) == NAMES[0]
    with pytest.raises(ValueError, match="name: must be one of experiment-.* found 'experiment-of-nothing'"):
        experiment_card(f"{PREFIX}of-nothing")


def test_what_is_not_there_is_refused_with_the_nearest_names(tmp_path):
    (tmp_path / "own.pt").touch()
    for there in ("scratch", None, str(tmp_path / "own.pt"), tmp_path / "own.pt", {"a": torch.zeros(1)}):
        assert check_weights("init", there) is there
    assert check_weights("init", NAMES[0]) == str(FOLDER / f"{NAMES[0]}.pt")
    with pytest.raises(CheckpointError, match=rf"^init: must be .*found '{NAMES[0][:-1]}'.* Nearest: {NAMES[0]}[,.]"):
        check_weights("init", NAMES[0][:-1])
    with pytest.raises(CheckpointError, match=r"found 'nofile.pt', no such file\. Check the path"):
        check_weights("init", "nofile.pt")
    with pytest.raises(CheckpointError, match="found 'moco-v2', published .*weights list moco-v2` says how to get"):
        check_weights("init", "moco-v2")
