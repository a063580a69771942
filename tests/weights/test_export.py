"""Weights of ours in published layouts: read back they are the same, and the published names are theirs."""

import json

import pytest
import torch

from medgenesis.errors import CheckpointError, OutputError
from medgenesis.methods import Adam
from medgenesis.networks import ResNet25D, SparseUNet3D, UNet3D, UNet25D, YNet3D
from medgenesis.weights import load_pretrained, load_published, with_settings
from medgenesis.weights.export import export_weights


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


NETWORKS = {
    "models-genesis": (lambda: UNet3D(norm="batch_always"), "module.down_tr64.ops.0.conv1.weight"),
    "semantic-genesis": (lambda: YNet3D(), "clc_out.fc1.bias"),
    "semantic-genesis, en": (lambda: YNet3D(decoder=False), "clc_out.fc1.bias"),
    "caid-unet": (lambda: UNet25D("resnet18"), "decoder.blocks.0.conv1.0.weight"),
    "backbone": (lambda: ResNet25D("resnet18"), "layer4.1.bn2.running_var"),
}


@pytest.mark.parametrize("layout", NETWORKS)
def test_there_and_back(tmp_path, layout):
    build, key = NETWORKS[layout]
    layout = layout.partition(",")[0]
    network = build()
    torch.save(network.state_dict(), tmp_path / "pretrained.pt")
    said = export_weights(tmp_path / "pretrained.pt", layout, tmp_path / "published.pth")
    assert f"{len(network.state_dict())} tensors" in said
    content = torch.load(tmp_path / "published.pth", weights_only=True)
    assert key in content.get("state_dict", content)
    assert same(load_published(tmp_path / "published.pth").state_dict, dict(network.state_dict()))


def test_what_a_layout_has_no_place_for_is_left_out_and_said(tmp_path):
    for name, network, part in (("y", YNet3D(), "classifier."), ("sparse", SparseUNet3D(), "mask_tokens.")):
        torch.save(network.state_dict(), tmp_path / f"{name}.pt")
        said = export_weights(tmp_path / f"{name}.pt", "models-genesis", tmp_path / f"{name}_o.pt")
        assert f"left out {part}" in said
        assert load_pretrained(UNet3D(), tmp_path / f"{name}_o.pt").complete
    torch.save(UNet25D("resnet18").state_dict(), tmp_path / "u.pt")
    assert "left out decoder." in export_weights(tmp_path / "u.pt", "backbone", tmp_path / "o.pt")
    assert load_pretrained(ResNet25D("resnet18"), tmp_path / "o.pt", skip_head="never").complete


def test_a_run_gives_its_head_too(tmp_path):
    method = Adam(ResNet25D("resnet18_w4"), dim=8, queue_size=16)
    torch.save({"method": method.state_dict()}, tmp_path / "last.pt")
    export_weights(tmp_path / "last.pt", "backbone", tmp_path / "best_checkpoint.pth")
    content = torch.load(tmp_path / "best_checkpoint.pth", weights_only=True)
    assert torch.equal(content["fc.2.weight"], method.discrimination.head[2].weight)
    assert load_published(tmp_path / "best_checkpoint.pth").report.dropped[0].startswith("fc.")


@pytest.mark.parametrize(
    ("network", "layout", "words"),
    [
        (lambda: UNet3D(width=4), "models-genesis", "must be of .* with 32 channels in its first convolution.*found 4"),
        (lambda: UNet3D(norm="instance"), "models-genesis", "must be of .*no encoder.levels.0.0.norm.running_mean"),
        (lambda: UNet3D(4, 1), "models-genesis", "must be of .* with one input channel.*found 4"),
        (lambda: UNet25D("resnet18_w8"), "caid-unet", "must be of .* with a ResNet of full width; found resnet18_w8"),
        (lambda: UNet3D(), "semantic-genesis", "must be of the network of the layout, YNet3D"),
        (lambda: UNet25D("densenet121"), "caid-unet", "must be of the network of the layout, UNet25D"),
        (lambda: UNet3D(), "backbone", "must be of the network of the layout, ResNet25D"),
    ],
)
def test_another_network(tmp_path, network, layout, words):
    torch.save(network().state_dict(), tmp_path / "pretrained.pt")
    with pytest.raises(CheckpointError, match=f"pretrained.pt: {words}"):
        export_weights(tmp_path / "pretrained.pt", layout, tmp_path / "o.pt")
    assert not (tmp_path / "o.pt").exists()


def test_layouts_without_a_way_back(tmp_path):
    torch.save(UNet3D(width=2).state_dict(), tmp_path / "p.pt")
    with pytest.raises(ValueError, match="layout: must be one of models-genesis, .*momentum-contrast; found 'voco'"):
        export_weights(tmp_path / "p.pt", "voco", tmp_path / "o.pt")


def test_batch_norm_of_another_kind_is_said(tmp_path, caplog):
    torch.save(with_settings(UNet3D().state_dict(), {"norm": "batch"}), tmp_path / "p.pt")
    export_weights(tmp_path / "p.pt", "models-genesis", tmp_path / "o.pt")
    assert "made with norm=batch; the published program normalises by the batch at hand" in caplog.text


def test_settings_and_terms_stand_beside(tmp_path, caplog):
    settings = {"slices": 5, "backbone": "resnet18_w4", "input_normalisation": "imagenet"}
    origin = {"name": "adam", "title": "Adam", "terms": "ASU", "commercial_use": False}
    weights = ResNet25D("resnet18_w4", 5, input_normalisation="imagenet").state_dict()
    torch.save(with_settings(weights, settings, origin), tmp_path / "p.pt")
    said = export_weights(tmp_path / "p.pt", "backbone", tmp_path / "o.pth")
    assert "in o.json: slices=5, input_normalisation=imagenet" in said and "no commercial use" in said
    assert "its network normalises its input itself" in caplog.text
    beside = json.loads((tmp_path / "o.json").read_text())
    assert beside["terms"] == "ASU" and beside["commercial_use"] is False and beside["settings"] == settings
    torch.save(with_settings(weights, settings), tmp_path / "own.pt")
    said = export_weights(tmp_path / "own.pt", "backbone", tmp_path / "own.pth")
    assert said.endswith("; of our own training, without terms of others") and "None" not in said


@pytest.mark.parametrize("out", ["p.pt", "other.pth"])
def test_no_file_is_replaced(tmp_path, out):
    torch.save(ResNet25D("resnet18_w4").state_dict(), tmp_path / "p.pt")
    (tmp_path / "other.pth").write_text("mine")
    before = (tmp_path / out).read_bytes()
    with pytest.raises(OutputError, match=f"{out}: must not exist; found a file there"):
        export_weights(tmp_path / "p.pt", "backbone", tmp_path / out)
    assert (tmp_path / out).read_bytes() == before
