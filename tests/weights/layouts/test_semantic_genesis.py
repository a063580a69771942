"""The published Semantic Genesis and TransVW files: keys one to one, what is dropped, and the same logits."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medgenesis.errors import CheckpointError
from medgenesis.networks import UNet3D, YNet3D
from medgenesis.weights import (
    load_pretrained,
    load_published,
    models_genesis_keys,
    save_checkpoint,
    semantic_genesis_keys,
    ynet3d_settings,
)

PREFIXES = pytest.mark.parametrize("prefix", ["", "module.", "classficationNet.", "module.classficationNet."])


def published_shapes(width=32, classes=44, decoder=True):
    """Keys and shapes written out from methods_genesis.md, sections 3 and 5.7; it shares no code with ours."""
    shapes = {}

    def conv(name, a, b, *kernel):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (b, a, *kernel), (b,)

    def norm(name, channels):
        shapes.update({f"{name}.{k}": (channels,) for k in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    def ops(name, a, b, c):
        for i, (before, after) in enumerate(((a, b), (b, c))):
            conv(f"{name}.ops.{i}.conv1", before, after, 3, 3, 3)
            norm(f"{name}.ops.{i}.bn1", after)

    channels = 1
    for i, level in enumerate((64, 128, 256, 512)):
        ops(f"down_tr{level}", channels, width * 2**i, 2 * width * 2**i)
        channels = 2 * width * 2**i
    conv("clc_out.conv1", channels, 2 * channels, 3, 3, 3)
    norm("clc_out.bn1", 2 * channels)
    conv("clc_out.fc1", 2 * channels, classes)
    if decoder:
        for i, level in ((2, 256), (1, 128), (0, 64)):
            skip = 2 * width * 2**i
            conv(f"up_tr{level}.up_conv", channels, channels, 2, 2, 2)
            ops(f"up_tr{level}", channels + skip, skip, skip)
            channels = skip
        conv("out_tr.final_conv", channels, 1, 1, 1, 1)
    return shapes


def published_weights(width=2, classes=5, decoder=True, prefix=""):
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key, shape in published_shapes(width, classes, decoder).items():
        value = torch.rand(shape, generator=generator)
        weights[prefix + key] = value + 0.5 if "running_var" in key else value - 0.5
        if "num_batches" in key:
            weights[prefix + key] = torch.tensor(3)
    return weights


@pytest.fixture
def published(tmp_path):
    """Writes a file as the published program does: the best values are NumPy scalars."""

    def write(weights, name="semantic_genesis_chest_ct.pt", **more):
        content = {"epoch": 9, "state_dict": weights, "optimizer_state_dict": {"state": {}, "param_groups": []}}
        content |= {"num_epoch_no_improvement": 4, "best_loss": np.float64(0.25), "best_acc": np.float32(0.5), **more}
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write


@pytest.mark.parametrize("decoder", [True, False])
def test_keys_and_shapes_are_those_of_ynet3d(decoder):
    with torch.device("meta"):
        ours = YNet3D(decoder=decoder).state_dict()
        theirs = {key: torch.empty(shape) for key, shape in published_shapes(decoder=decoder).items()}
    converted = semantic_genesis_keys(theirs)
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in ours.items()}
    # one to one: every entry of theirs is exactly one of ours
    assert sorted(map(id, converted.values())) == sorted(map(id, theirs.values()))
    assert len(theirs) == (115 if decoder else 65) == (106 if decoder else 56) + 9


@PREFIXES
def test_prefixes_make_no_difference(prefix):
    plain = semantic_genesis_keys(published_weights())
    prefixed = semantic_genesis_keys(published_weights(prefix=prefix))
    assert plain.keys() == prefixed.keys() and all(torch.equal(plain[key], prefixed[key]) for key in plain)
    assert semantic_genesis_keys({f"{prefix}extra.weight": torch.zeros(1)}).keys() == {"extra.weight"}


@pytest.mark.parametrize("decoder", [True, False])
@PREFIXES
def test_file_with_numpy_scalars_into_a_network_of_its_settings(published, prefix, decoder):
    weights = published_weights(decoder=decoder, prefix=prefix)
    path = published(weights)
    settings = ynet3d_settings(load_published(path).state_dict)
    rest = {"out_channels": 1} if decoder else {"decoder": False}
    assert settings == {"in_channels": 1, "width": 2, "num_classes": 5, **rest}
    network = YNet3D(**settings).eval()
    loaded = load_published(path, network)
    assert loaded.report.complete and loaded.report.layout == "Semantic Genesis" and loaded.report.dropped == ()
    assert f"(Semantic Genesis, {len(weights)} entries): {len(weights)} matched; 0 missing" in str(loaded.report)
    network.load_state_dict(loaded.state_dict)

    x = torch.rand(2, 1, 16, 16, 16)
    with torch.no_grad():
        restored, logits = network(x)
        own = {key.removeprefix(f"{prefix}clc_out."): value for key, value in weights.items() if "clc_out" in key}
        y = F.conv3d(network.encoder(x)[-1], own["conv1.weight"], own["conv1.bias"], padding=1)
        names = ("weight", "bias", "running_mean", "running_var")
        weight, bias, mean, variance = (own[f"bn1.{name}"].view(1, -1, 1, 1, 1) for name in names)
        y = F.relu((y - mean) / (variance + 1e-5).sqrt() * weight + bias).mean((2, 3, 4))
        assert torch.allclose(logits, F.linear(y, own["fc1.weight"], own["fc1.bias"]), rtol=1e-3, atol=1e-4)
        if decoder:
            unet = UNet3D(width=2).eval()
            rest = {k: v for k, v in published_weights().items() if not k.startswith("clc_out")}
            unet.load_state_dict(models_genesis_keys(rest))
            assert torch.equal(restored, unet(x))


def test_a_key_too_many_is_named(published):
    path = published({**published_weights(prefix="module."), "module.ema.weight": torch.ones(2)})
    with pytest.raises(CheckpointError, match=r"Semantic Genesis, 116 .* 1 unknown to the network \(ema.weight\)"):
        load_pretrained(YNet3D(width=2, num_classes=5), path)


def test_foreign_heads_are_dropped_and_reported(published):
    foreign = {"module.projection_head.0.weight": torch.ones(2), "projection_head.2.bias": torch.ones(2)}
    foreign["module.prototypes.weight"] = torch.ones(3, 2)
    path = published({**published_weights(prefix="module."), **foreign}, "TransVW_chest_ct.pt")
    loaded = load_published(path)
    assert set(loaded.report.dropped) == set(foreign) and loaded.report.entries == 118 and len(loaded.state_dict) == 115
    assert "not compared with a network; 3 dropped (module.projection_head.0.weight, " in str(loaded.report)
    network = YNet3D(width=2, num_classes=5)
    for report in (load_published(path, network).report, load_pretrained(network, path)):
        assert report.complete and set(report.dropped) == set(foreign) and report.entries == 118
        assert "115 matched" in str(report) and "3 dropped (" in str(report)


def test_report_lists_what_does_not_fit(published):
    weights = published_weights()
    del weights["clc_out.bn1.bias"]
    report = load_published(published(weights), YNet3D(width=2, num_classes=6)).report
    assert report.missing == ("classifier.norm.bias",)
    assert report.mismatched == (
        ("classifier.fc.weight", (5, 64), (6, 64)),
        ("classifier.fc.bias", (5,), (6,)),
    )
    assert not report.complete


def test_models_genesis_files_stay_models_genesis(published):
    weights = {key: value for key, value in published_weights(prefix="module.").items() if "clc_out" not in key}
    assert load_published(published(weights)).report.layout == "Models Genesis"
    with pytest.raises(CheckpointError, match=r"keys of Semantic Genesis alone; found 1 .*\(clc_in.weight\)"):
        load_published(published({**published_weights(), "clc_in.weight": torch.ones(1)}))


@pytest.mark.parametrize("decoder", [True, False])
def test_published_file_for_fine_tuning(published, decoder):
    """Segmentation with a UNet3D: the class head is dropped; "en" files leave the decoder new, and say so."""
    path = published(published_weights(decoder=decoder))
    network = UNet3D(out_channels=3, width=2, activation=None)
    report = load_pretrained(network, path)
    assert report.complete and len(report.dropped) == 9 and all(k.startswith("classifier.") for k in report.dropped)
    assert "9 dropped (classifier.conv.weight" in str(report)
    assert torch.equal(network.encoder.levels[0][0].conv.weight, published_weights()["down_tr64.ops.0.conv1.weight"])
    fresh = ("head.",) if decoder else ("decoder.", "head.")
    assert set(report.fresh) == {key for key in network.state_dict() if key.startswith(fresh)}


def test_settings_of_our_own_weights(tmp_path):
    network = YNet3D(2, 3, 4, 6, norm="instance")
    save_checkpoint(network.state_dict(), tmp_path / "pretrained.pt")
    settings = ynet3d_settings(network.state_dict())
    assert settings == {"in_channels": 2, "out_channels": 3, "width": 4, "num_classes": 6}
    with pytest.raises(KeyError):
        ynet3d_settings(UNet3D(width=2).state_dict())
