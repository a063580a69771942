"""Published 2D backbones: every form of file, whole or refused, into backbones, classifiers and the encoder of a
U-Net.
"""

import argparse

import pytest
import torch
from helpers.published_2d import backbone_maps, backbone_shapes, random_weights, unet_shapes
from monai.networks.nets import resnet18

from medgenesis.errors import CheckpointError
from medgenesis.networks import EncoderClassifier, ResNet25D, UNet3D, UNet25D
from medgenesis.weights import backbone_keys, initialise, load_pretrained, load_published

MLP = {"fc.0.weight": (8, 8), "fc.0.bias": (8,), "fc.2.weight": (4, 8), "fc.2.bias": (4,)}
LINEAR = {"fc.weight": (4, 8), "fc.bias": (4,)}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def copy_of(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def filled(shapes, value=1.0):
    """Tensors that take no space, in memory or in a file."""
    return {key: torch.tensor(value).expand(shape) for key, shape in shapes.items()}


def prefixed(prefix, entries):
    return {prefix + key: value for key, value in entries.items()}


def momentum_contrast(name="resnet50", head=MLP, backbone="", wrapper="module."):
    """A full checkpoint: query (ones), key (twos), queue; the best loss is a tensor, as CAiD writes it."""
    state = {}
    for branch, value in (("encoder_q.", 1.0), ("encoder_k.", 2.0)):
        backbone_network = prefixed(backbone, filled(backbone_shapes(name), value))
        state |= prefixed(f"{wrapper}{branch}", backbone_network | filled(head, value))
    state |= {f"{wrapper}queue": torch.zeros(()).expand(128, 65_536), f"{wrapper}queue_ptr": torch.tensor([512])}
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.03, "params": [0]}]}
    return {"epoch": 9, "arch": name, "state_dict": state, "optimizer": optimizer, "best_loss": torch.tensor(9.25)}


CLASSES = {"classifier.weight": (1000, 1024), "classifier.bias": (1000,)}
FORMS = {
    "Adam, best": (lambda: filled(backbone_shapes("resnet50") | MLP), 318, 4),
    "Adam or MoCo, full": (momentum_contrast, 318, 4 + 322 + 2),
    "CAiD id, best": (lambda: filled(backbone_shapes("resnet50") | LINEAR), 318, 2),
    "CAiD id, full": (lambda: momentum_contrast(head=LINEAR, backbone="backbone."), 318, 2 + 320 + 2),
    "MoCo, query alone": (
        lambda: {"state_dict": prefixed("module.encoder_q.", filled(backbone_shapes("resnet50") | MLP))},
        318,
        4,
    ),
    "MoCo-CXR": (lambda: momentum_contrast("resnet18", LINEAR), 120, 2 + 122 + 2),
    "MIMIC-CheXpert": (lambda: momentum_contrast("densenet121", CLASSES, wrapper="model."), 725, 2 + 727 + 2),
    "torchvision, ResNet": (lambda: filled(backbone_shapes("resnet18") | LINEAR), 120, 2),
    "torchvision, DenseNet": (lambda: filled(backbone_shapes("densenet121") | CLASSES), 725, 2),
    "several GPUs": (lambda: prefixed("module.", filled(backbone_shapes("resnet101"))), 624, 0),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_file(form, tmp_path):
    content, entries, dropped = FORMS[form][0](), *FORMS[form][1:]
    torch.save(content, tmp_path / "checkpoint.pth")
    loaded = load_published(tmp_path / "checkpoint.pth")
    assert len(loaded.state_dict) == entries and len(loaded.report.dropped) == dropped
    assert all((value == 1).all() for value in loaded.state_dict.values())  # the query, not the key
    parts = {key.rpartition("encoder_")[2].split(".")[0] for key in loaded.report.dropped if "fc" not in key}
    assert not dropped or "fc" in str(loaded.report.dropped) or "classifier" in str(loaded.report.dropped)
    if "full" in form:
        assert {"k", "module"} <= parts and "module.queue" in loaded.report.dropped
        assert f"{dropped} dropped (module.encoder_q.fc." in str(loaded.report)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_into_the_backbone(name, tmp_path):
    published = random_weights(backbone_shapes(name) | {"fc.weight": (2, 2)})
    torch.save({"state_dict": prefixed("module.encoder_q.", published)}, tmp_path / "checkpoint.pth")
    network = ResNet25D(name)
    report = load_pretrained(network, tmp_path / "checkpoint.pth", skip_head="never")
    assert report.complete and report.dropped == ("module.encoder_q.fc.weight",) and not report.fresh
    assert same(network.state_dict(), {key: published[key] for key in backbone_shapes(name)})


def test_old_densenet_names_and_no_counts():
    modern = random_weights(backbone_shapes("densenet121"))
    old = {}
    for key, value in modern.items():
        for i in "12":
            if "denselayer" in key:
                key = key.replace(f".norm{i}.", f".norm.{i}.").replace(f".conv{i}.", f".conv.{i}.")
        old[key] = value
    assert "features.denseblock3.denselayer24.norm.2.running_mean" in old and "features.transition1.conv.weight" in old
    assert same(backbone_keys(old), modern)
    counts = [key for key in modern if key.endswith("num_batches_tracked")]
    without = {key: value for key, value in old.items() if not key.endswith("num_batches_tracked")}
    assert len(without) == 725 - 121
    network = ResNet25D("densenet121")
    assert load_pretrained(network, without).complete
    assert same(network.state_dict(), modern | {key: torch.tensor(0) for key in counts})
    del without["features.norm5.running_var"]
    with pytest.raises(CheckpointError, match="2 missing in the file .features.norm5.running_var"):
        load_pretrained(network, without)


def damaged(without=(), more=None):
    entries = filled(backbone_shapes("resnet18"))
    return {key: value for key, value in entries.items() if not key.startswith(without)} | filled(more or {})


@pytest.fixture(scope="module")
def targets():
    """Networks that no test changes, and their weights."""
    return [(network, copy_of(network)) for network in (ResNet25D("resnet18"), UNet25D("resnet18"))]


UNKNOWN = "must have a known layout of keys"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (damaged(("conv1.weight",)), "119 matched; 1 missing in the file .conv1.weight"),
        (damaged(("layer4.",)), "30 missing in the file .layer4.0.conv1.weight"),
        (damaged(more={"layer1.2.conv1.weight": (64, 64, 3, 3)}), "1 unknown to the network .layer1.2.conv1.weight"),
        (damaged(more={"prefc.weight": (2, 2)}), "1 unknown to the network .prefc.weight"),
        (damaged(more={"layer2.0.downsample.0.bias": (128,)}), "1 unknown to the network"),
        (damaged(more={"layer4.0.bn1.bias": (256,)}), r"layer4.0.bn1.bias \(256,\) instead of \(512,\)"),
        (damaged(more={"conv1.weight": ()}), r"conv1.weight \(\) instead of \(64, 3, 7, 7\)"),
        (damaged() | {"layer4.0.bn1.bias": torch.full((512,), torch.inf)}, "found NaN or infinity in 1 of 120 entries"),
        (prefixed("module.encoder_k.", damaged()), UNKNOWN),
        (prefixed("student.", damaged()), UNKNOWN),
        (prefixed("module.encoder_q.", damaged()) | damaged(), UNKNOWN),
        (
            {key: value.expand(2, *value.shape) if value.ndim == 4 else value for key, value in damaged().items()},
            UNKNOWN,
        ),
    ],
)
def test_a_file_that_is_not_whole_is_an_error(entries, words, tmp_path, targets):
    torch.save(entries, tmp_path / "best_checkpoint.pth")
    with pytest.raises(CheckpointError, match="best_checkpoint.pth.*" + words):
        load_published(tmp_path / "best_checkpoint.pth")
    for network, before in targets:
        with pytest.raises(CheckpointError, match="best_checkpoint.pth"):
            load_pretrained(network, tmp_path / "best_checkpoint.pth")
        assert same(network.state_dict(), before)


def test_into_the_encoder_of_a_unet(tmp_path, caplog):
    torch.save(momentum_contrast(), tmp_path / "checkpoint.pth")
    network = UNet25D()
    before = copy_of(network)
    report = load_pretrained(network, tmp_path / "checkpoint.pth")
    assert report.complete and len(report.matched) == 318 and len(report.fresh) == 62
    assert all((value == 1).all() for value in network.encoder.state_dict().values())
    after = network.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in report.fresh)
    assert "has no decoder: that of UNet25D starts newly initialised" in caplog.text
    with pytest.raises(CheckpointError, match="62 missing in the file .decoder.blocks.0"):
        load_pretrained(network, tmp_path / "checkpoint.pth", skip_head="never")
    loaded = load_published(tmp_path / "checkpoint.pth", network)
    assert len(loaded.report.matched) == 318 and len(loaded.report.missing) == 62 and not loaded.report.unexpected


def test_the_encoder_of_a_published_unet_in_a_classifier(tmp_path):
    published = random_weights(unet_shapes("resnet18"))
    torch.save(published, tmp_path / "best_checkpoint.pth")
    loaded = load_published(tmp_path / "best_checkpoint.pth", ResNet25D("resnet18"))
    assert loaded.report.complete and len(loaded.report.matched) == 120 and len(loaded.report.dropped) == 62
    network = initialise(ResNet25D("resnet18"), tmp_path / "best_checkpoint.pth", skip_head="never")
    classifier = EncoderClassifier(network, 14, hidden=None).eval()
    x = torch.rand(2, 3, 64, 64)
    backbone_network = {
        key.removeprefix("encoder."): value for key, value in published.items() if key.startswith("encoder.")
    }
    assert same(network.state_dict(), backbone_network)
    with torch.no_grad():
        expected = backbone_maps(backbone_network, x)[-1].mean((2, 3))
        assert torch.allclose(classifier.embed(x), expected, atol=1e-4 * expected.abs().max())


def test_between_networks_of_ours():
    unet, backbone_network = UNet25D("resnet18"), ResNet25D("resnet18")
    report = load_pretrained(backbone_network, unet.state_dict())
    assert len(report.matched) == 120 and len(report.dropped) == 62 and report.layout == "medgenesis"
    assert same(backbone_network.state_dict(), unet.encoder.state_dict())
    other = initialise(UNet25D("resnet18"), {"method": prefixed("network.", ResNet25D("resnet18").state_dict())})
    assert not same(other.encoder.state_dict(), backbone_network.state_dict())
    initialise(other, {"method": prefixed("network.", backbone_network.state_dict()) | {"queue": torch.zeros(2)}})
    assert same(other.encoder.state_dict(), backbone_network.state_dict())


def test_a_classifier_with_its_own_head():
    classifier, again = (EncoderClassifier(ResNet25D("resnet18"), 5, hidden=7) for _ in range(2))
    report = load_pretrained(again, prefixed("module.", classifier.state_dict()), skip_head="never")
    assert not report.dropped and same(again.state_dict(), classifier.state_dict())
    published = random_weights(backbone_shapes("resnet18"))
    assert len(load_pretrained(again, published).fresh) == 4
    assert same(again.encoder.state_dict(), published)


def test_a_file_of_the_networks_own_keys_keeps_its_head():
    """A ResNet of MONAI with other shortcuts looks like torchvision's; it is the network's own, head and all."""

    def build(classes):
        return resnet18(pretrained=False, spatial_dims=2, n_input_channels=3, num_classes=classes)

    source, target = build(4), build(4)
    report = load_pretrained(target, source.state_dict(), head="fc")
    assert report.complete and not report.dropped and same(target.state_dict(), source.state_dict())
    assert load_pretrained(build(3), source.state_dict(), head="fc").fresh == ("fc.weight", "fc.bias")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (lambda: ResNet25D("resnet34"), "96 missing in the file"),
        (lambda: UNet25D("resnet34"), "96 missing in the file"),
        (lambda: UNet3D(width=2), "unknown to the network .encoder.conv1.weight"),
        (lambda: ResNet25D("resnet18", 5), r"conv1.weight \(64, 3, 7, 7\) instead of .*inflate_input=True"),
    ],
)
def test_another_network_changes_nothing(target, words):
    network, published = target(), random_weights(backbone_shapes("resnet18"))
    before = copy_of(network)
    with pytest.raises(CheckpointError, match="checkpoint of another network.*" + words):
        load_pretrained(network, published)
    assert same(network.state_dict(), before)


@pytest.mark.parametrize("build", [ResNet25D, UNet25D])
@pytest.mark.parametrize("slices", [1, 5])
def test_a_published_stem_on_other_slabs(build, slices):
    """Equal slices give what three equal channels gave."""
    published = random_weights(backbone_shapes("resnet18"))
    network = initialise(build("resnet18", slices), published, inflate_input=True).eval()
    backbone_network = network.encoder if build is UNet25D else network
    image = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        expected = backbone_maps(published, image.expand(-1, 3, -1, -1))
        maps = (
            backbone_network(image.expand(-1, slices, -1, -1))
            if build is UNet25D
            else backbone_network.maps(image.expand(-1, slices, -1, -1))
        )
    for ours, theirs in zip(maps, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4 * theirs.abs().max())


def pirl(name="resnet50"):
    """PyContrast's checkpoint: the encoder beside the heads of both tasks, and options of its program."""
    heads = {
        "module.head.0.weight": (128, 2048),
        "module.head_jig.fc1.weight": (128, 2048),
        "module.head_jig.fc2.bias": (8,),
    }
    model = prefixed("module.encoder.", filled(backbone_shapes(name))) | filled(heads, 3.0)
    return {"opt": argparse.Namespace(method="PIRL", jigsaw=True), "model": model, "epoch": 200}


def test_raw_pirl(tmp_path):
    torch.save(pirl(), tmp_path / "PIRL.pth")
    loaded = load_published(tmp_path / "PIRL.pth")
    assert len(loaded.state_dict) == 318 and len(loaded.report.dropped) == 3
    assert all((value == 1).all() for value in loaded.state_dict.values())
    assert load_pretrained(UNet25D("resnet50"), tmp_path / "PIRL.pth").complete


def test_an_encoder_of_ours_is_not_taken_for_pirl():
    ours = prefixed("module.", EncoderClassifier(ResNet25D("resnet18"), 5, hidden=7).state_dict())
    with pytest.raises(CheckpointError, match="another network"):
        load_pretrained(ResNet25D("resnet34"), ours)
