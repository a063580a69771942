"""Published weights into a bundle: what is written, what is kept, and that the tasks after it start from it."""

import contextlib
import json
from types import SimpleNamespace

import pytest
import torch
from helpers.published_2d import backbone_shapes, random_weights
from monai.bundle import ConfigParser
from monai.networks.nets import SwinUNETR

from medgenesis import bundles
from medgenesis.errors import CheckpointError
from medgenesis.handlers.save_weights import SaveWeights
from medgenesis.networks import ResNet25D, UNet3D, UNet25D, YNet3D
from medgenesis.storage.earlier_weights import keep_earlier
from medgenesis.weights import load_pretrained, settings_of, with_settings
from medgenesis.weights.bundle_import import import_weights
from medgenesis.weights.inspection import inspect_weights
from medgenesis.weights.layouts.models_genesis import models_genesis_file
from medgenesis.weights.layouts.semantic_genesis import semantic_genesis_file


def config(name):
    return [bundles.path(name) / "configs" / "pretrain.yaml"]


def genesis(folder, width=2, channels=1, name="Genesis_Chest_CT.pt"):
    network = UNet3D(channels, channels, width)
    torch.save({**models_genesis_file(network.state_dict()), "optimizer_state_dict": {}}, folder / name)
    return network, folder / name


def test_models_genesis(tmp_path):
    network, path = genesis(tmp_path)
    done = import_weights(path, config("models_genesis_ct"), tmp_path / "models")
    written = torch.load(tmp_path / "models" / "pretrained.pt", weights_only=True)
    assert all(torch.equal(written[key], value) for key, value in network.state_dict().items())
    kept = settings_of(tmp_path / "models" / "pretrained.pt")
    # batch_always, as published, although the bundle's own setting is batch: fidelity D5
    assert kept["norm"] == "batch_always" and kept["width"] == 2 and kept["intensity"] == "ct"
    assert "crop_criterion" not in kept  # the bundle's own, of which the file tells nothing
    assert kept["cube_size"] == [64, 64, 32] and kept == done.settings
    origin = json.loads((tmp_path / "models" / "pretrained.json").read_text())
    assert origin["name"] == "models-genesis" and origin["commercial_use"] is False and "ASU" in origin["terms"]
    assert origin["source"]["file"] == "Genesis_Chest_CT.pt" and len(origin["source"]["sha256"]) == 64
    assert origin["loaded"] == 106 and origin["settings"] == dict(kept) and origin["layout"] == "models-genesis"
    assert str(tmp_path) not in json.dumps(origin)


def test_what_stood_there_is_kept(tmp_path):
    for value, width in enumerate((2, 4)):
        _, path = genesis(tmp_path, width=width)
        import_weights(path, config("models_genesis_ct"), tmp_path / "models")
        assert settings_of(tmp_path / "models" / "pretrained.pt")["width"] == width
        assert len(list(tmp_path.glob("models/earlier/*"))) == 2 * value
    assert settings_of(tmp_path / "models" / "earlier" / "pretrained.pt")["width"] == 2


def test_each_origin_stays_with_its_own_weights(tmp_path):
    """One of our own without origin, then two imports: the second's predecessor is number 2, and so is its origin."""
    models, earlier = tmp_path / "models", tmp_path / "models" / "earlier"
    models.mkdir()
    torch.save(with_settings(UNet3D(width=2).state_dict(), {"width": 2}), models / "pretrained.pt")
    for name in ("Genesis_Chest_CT.pt", "Genesis_Chest_CT_2.pt"):
        _, path = genesis(tmp_path, name=name)
        import_weights(path, config("models_genesis_ct"), models)
    assert sorted(path.name for path in earlier.iterdir()) == ["pretrained.pt", "pretrained_2.json", "pretrained_2.pt"]
    assert json.loads((earlier / "pretrained_2.json").read_text())["source"]["file"] == "Genesis_Chest_CT.pt"
    keep_earlier(models / "pretrained.pt", tmp_path / "runs" / "earlier")  # as a training begins
    assert not (models / "pretrained.json").exists() and (tmp_path / "runs/earlier/pretrained.json").is_file()


def test_terms_stay_with_what_is_derived(tmp_path):
    """From a published file through an import, a training and another import."""
    _, path = genesis(tmp_path)
    first = import_weights(path, config("models_genesis_ct"), tmp_path / "a").weights
    for weights, network in ((first, UNet3D(width=2)), (path, UNet3D(width=2, norm="batch_always"))):
        load_pretrained(network, weights)
        SaveWeights(tmp_path / "trained.pt", network, {"width": 2})(SimpleNamespace(state=SimpleNamespace(rank=0)))
        found = inspect_weights(tmp_path / "trained.pt")
        assert found.origin["name"] == "models-genesis" and found.origin["trained_further"]
        again = import_weights(tmp_path / "trained.pt", config("models_genesis_ct"), tmp_path / "b")
        sidecar = json.loads(again.sidecar.read_text())
        assert sidecar["commercial_use"] is False and "ASU" in sidecar["terms"] and sidecar["trained_further"]
        assert sidecar["source"]["file"] == "trained.pt"
        assert sidecar["began_with"]["file"] == "Genesis_Chest_CT.pt"
    torch.save(with_settings(UNet3D(width=2).state_dict(), {"width": 2}), tmp_path / "own.pt")
    sidecar = json.loads(
        import_weights(tmp_path / "own.pt", config("models_genesis_ct"), tmp_path / "c").sidecar.read_text()
    )
    assert sidecar["title"] == "of our own training" and sidecar["name"] is None


def test_four_channels(tmp_path):
    network, path = genesis(tmp_path)
    import_weights(path, config("models_genesis_ct"), tmp_path / "models", given={"in_channels": 4})
    written = torch.load(tmp_path / "models" / "pretrained.pt", weights_only=True)
    stem = network.encoder.levels[0][0].conv.weight
    assert torch.allclose(written["encoder.levels.0.0.conv.weight"], stem.expand(-1, 4, -1, -1, -1) / 4)
    assert settings_of(tmp_path / "models" / "pretrained.pt")["in_channels"] == 4


def test_what_the_file_has_not_is_not_saved_as_learnt(tmp_path):
    _, path = genesis(tmp_path)
    done = import_weights(path, config("semantic_genesis_ct"), tmp_path / "models")
    written = torch.load(tmp_path / "models" / "pretrained.pt", weights_only=True)
    assert len(done.report.fresh) == 9 and not any(key.startswith("classifier.") for key in written)
    network = YNet3D(width=2, num_classes=7)
    assert len(load_pretrained(network, tmp_path / "models" / "pretrained.pt").fresh) == 9


def test_semantic_genesis_with_its_own_number_of_classes(tmp_path):
    network = YNet3D(width=2, num_classes=5)
    torch.save({**semantic_genesis_file(network.state_dict()), "best_loss": 0.5}, tmp_path / "TransVW_chest_ct.pt")
    done = import_weights(tmp_path / "TransVW_chest_ct.pt", config("semantic_genesis_ct"), tmp_path / "models")
    assert done.entry.name == "transvw" and not done.report.fresh and done.report.complete
    assert len(torch.load(done.weights, weights_only=True)["classifier.fc.bias"]) == 5


def test_what_was_taken_in_part_stays_in_part(tmp_path):
    """The rest is neither saved as if learnt nor taken for loaded later; two imports are the same file."""
    weights = UNet3D(width=2).state_dict()
    torch.save({key: value for key, value in weights.items() if "levels.2" not in key}, tmp_path / "part.pt")
    read = []
    for folder in ("a", "b"):
        done = import_weights(tmp_path / "part.pt", config("models_genesis_ct"), tmp_path / folder, partial=True,
                              given={"width": 2})  # fmt: skip
        read.append(torch.load(done.weights, weights_only=True))
    assert read[0].keys() == read[1].keys() == set(done.report.matched)
    assert all(torch.equal(value, read[1][key]) for key, value in read[0].items())
    report = load_pretrained(UNet3D(width=2), done.weights)
    assert report.share == done.report.share < 1 and set(report.fresh) == set(weights) - set(read[0])
    with pytest.raises(CheckpointError, match="missing in the file"):  # to apply it: nothing may be unlearnt
        load_pretrained(UNet3D(width=2), done.weights, skip_head="never")


def moco(folder, name="moco_v2_800ep_pretrain.pth.tar"):
    weights = random_weights(backbone_shapes("resnet50"))
    torch.save({"state_dict": {f"module.encoder_q.{key}": value for key, value in weights.items()}}, folder / name)
    return weights, folder / name


def test_a_2d_file_brings_its_input_normalisation(tmp_path):
    weights, path = moco(tmp_path)
    done = import_weights(path, config("adam_cxr"), tmp_path / "models")
    kept = settings_of(done.weights)
    assert kept["input_normalisation"] == "imagenet" and kept["backbone"] == "resnet50" and kept["slices"] == 3
    network = ResNet25D(kept["backbone"], kept["slices"], input_normalisation=kept["input_normalisation"])
    assert load_pretrained(network, done.weights, skip_head="never").complete
    assert torch.equal(network.layer4[2].conv3.weight, weights["layer4.2.conv3.weight"])


def test_a_part_of_a_2d_file(tmp_path, caplog):
    weights, path = moco(tmp_path)
    content = torch.load(path, weights_only=True)
    for key in [key for key in content["state_dict"] if "layer4.2" in key]:
        del content["state_dict"][key]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="must be a whole published checkpoint"):
        import_weights(path, config("adam_cxr"), tmp_path / "models")
    done = import_weights(path, config("adam_cxr"), tmp_path / "models", partial=True)
    assert "its checksum is not the published one of moco-v2" in caplog.text
    assert all("layer4.2" in key for key in done.report.missing) and 0.5 < done.report.share < 1
    kept = torch.load(done.weights, weights_only=True)
    assert kept.keys() == {key for key in weights if "layer4.2" not in key}
    assert settings_of(done.weights)["backbone"] == "resnet50"


def test_several_may_be_meant(tmp_path):
    _, path = moco(tmp_path, "checkpoint.pth")
    with pytest.raises(CheckpointError, match=r"checkpoint.pth: must be told which .*caid-id, adam"):
        import_weights(path, config("caid_cxr"), tmp_path / "models")
    assert not (tmp_path / "models").exists()
    done = import_weights(path, config("caid_cxr"), tmp_path / "models", entry="adam", given={"slices": 5})
    kept = settings_of(done.weights)
    assert kept["slices"] == 5 and kept["input_normalisation"] == "imagenet"
    assert load_pretrained(UNet25D("resnet50", 5), done.weights).complete
    other = import_weights(path, config("caid_cxr"), tmp_path / "models", entry="other")
    origin = json.loads(other.sidecar.read_text())
    assert origin["terms"] == "not known" and origin["title"] == "not in the catalogue"


def test_another_network_or_not_whole(tmp_path):
    _, path = genesis(tmp_path)
    with pytest.raises(CheckpointError, match="UNet25D: must have the weights of the file, and nothing was loaded"):
        import_weights(path, config("caid_cxr"), tmp_path / "models")
    content = torch.load(path, weights_only=True)
    del content["state_dict"]["module.up_tr128.ops.0.conv1.weight"]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="1 missing in the file .decoder.levels.1.convs.0.conv.weight"):
        import_weights(path, config("models_genesis_ct"), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def hostile_names():
    """Every setting of a bundle and every id of its config: whichever a file may hold."""
    parser = ConfigParser()
    parser.read_config([str(path) for path in config("models_genesis_ct")])
    shared = ConfigParser.load_config_file(config("models_genesis_ct")[0].parent / "settings.yaml")
    return sorted({*shared, *parser.get(), "in_channels", "bundle_root", "network_def"})


def test_settings_of_a_file_are_never_read_as_a_config(tmp_path):
    """A file of our training holds settings; what they say is data, under whatever name."""
    needed = {"width": 2, "norm": "batch"}  # to build the network
    alone = {"in_channels", *needed}
    for names in (set(hostile_names()) - alone, *({name} for name in alone)):
        code = {name: f"$open({str(tmp_path / f'witness_{name}')!r}, 'w') and 1" for name in names}
        torch.save(with_settings(UNet3D(width=2).state_dict(), {**needed, **code}), tmp_path / "p.pt")
        with contextlib.suppress(Exception):  # many are no value of that setting
            import_weights(tmp_path / "p.pt", config("models_genesis_ct"), tmp_path / "models")
    assert not list(tmp_path.glob("witness*"))


@pytest.mark.parametrize("channels", ["$1", 0])
def test_channels_of_a_file_are_a_number(tmp_path, channels):
    kept = {"width": 2, "norm": "batch", "in_channels": channels}
    torch.save(with_settings(UNet3D(width=2).state_dict(), kept), tmp_path / "p.pt")
    with pytest.raises(CheckpointError, match="p.pt: in_channels must be a positive whole number"):
        import_weights(tmp_path / "p.pt", config("models_genesis_ct"), tmp_path / "models")


def test_a_setting_of_an_overlay_goes_before_it(tmp_path):
    overlay = "features: 4\nnetwork_def: {_target_: medgenesis.networks.UNet3D, width: '@features'}\n"
    (tmp_path / "mine.yaml").write_text(overlay)
    torch.save(UNet3D(width=2).state_dict(), tmp_path / "p.pt")
    configs = [*config("models_genesis_ct"), tmp_path / "mine.yaml"]
    done = import_weights(tmp_path / "p.pt", configs, tmp_path / "models", given={"features": 2})
    assert done.report.complete


SWIN = """network_def:
  _target_: monai.networks.nets.SwinUNETR
  in_channels: '@in_channels'
  out_channels: '@in_channels'
  feature_size: 12
"""


def test_a_network_of_monai_by_an_overlay(tmp_path, caplog):
    """Its own state dict, of no published layout, is taken by the comparison with the network."""
    torch.manual_seed(0)
    source = SwinUNETR(in_channels=1, out_channels=1, feature_size=12)
    (tmp_path / "swin.yaml").write_text(SWIN)
    configs = [*config("models_genesis_ct"), tmp_path / "swin.yaml"]
    torch.save(source.state_dict(), tmp_path / "swin_unetr.pt")
    done = import_weights(tmp_path / "swin_unetr.pt", configs, tmp_path / "models")
    assert done.report.complete and not done.report.fresh and "not in the catalogue" in caplog.text
    assert not {"width", "norm"} & {*done.settings} and done.settings["in_channels"] == 1
    assert "intensity" not in done.settings and "its intensities (not known) are no setting here" in caplog.text
    written = torch.load(done.weights, weights_only=True)
    assert all(torch.equal(written[key], value) for key, value in source.state_dict().items())
    published = {
        f"module.{key.removeprefix('swinViT.')}".replace(".mlp.linear", ".mlp.fc"): value
        for key, value in source.state_dict().items()
        if key.startswith("swinViT.")
    }
    torch.save({"state_dict": published}, tmp_path / "model_swinvit.pt")
    done = import_weights(tmp_path / "model_swinvit.pt", configs, tmp_path / "models")
    origin = json.loads(done.sidecar.read_text())
    assert origin["name"] == "monai-swin-vit" and origin["newly_initialised"] == list(done.report.fresh) != []
    again = load_pretrained(SwinUNETR(in_channels=1, out_channels=3, feature_size=12), done.weights)
    assert again.complete and len(again.fresh) == len(done.report.fresh) and again.share < 0.5
    _, other = genesis(tmp_path)
    with pytest.raises(CheckpointError, match="SwinUNETR: must have a key and its shape in common with the file"):
        import_weights(other, configs, tmp_path / "models", partial=True)
