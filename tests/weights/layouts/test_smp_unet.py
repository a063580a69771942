"""CAiD's U-Net: key by key, bit by bit there and back, and the same output as the published layout computes slowly."""

import pytest
import torch
from helpers.published_2d import backbone_shapes, norm_shapes, random_weights, unet_logits, unet_shapes

from medgenesis.errors import CheckpointError
from medgenesis.networks import UNet25D
from medgenesis.weights import load_pretrained, load_published, smp_unet_keys, unet25d_to_smp

QUERY, KEY = "module.encoder_q.", "module.encoder_k."


def shapes_of(state_dict):
    return {key: tuple(value.shape) for key, value in state_dict.items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def filled(shapes, value=1.0):
    """Tensors that take no space, in memory or in a file."""
    return {key: torch.tensor(value).expand(shape) for key, shape in shapes.items()}


def prefixed(prefix, entries):
    return {prefix + key: value for key, value in entries.items()}


def full_checkpoint(name="resnet50"):
    """`current_checkpoint.pth`: query, key branch and queue; the best loss is a tensor."""
    unet = unet_shapes(name)
    features = unet["encoder.layer4.0.conv1.weight"][0] * (4 if name == "resnet50" else 1)
    head = {"fc.0.weight": (features, features), "fc.0.bias": (features,), "fc.2.weight": (128, features)}
    head["fc.2.bias"] = (128,)
    state = {}
    for prefix, value in ((QUERY, 1.0), (KEY, 2.0)):
        state |= prefixed(f"{prefix}backbone.", filled(unet, value)) | prefixed(prefix, filled(head, value))
    state |= {"module.queue": torch.zeros(()).expand(128, 65_536), "module.queue_ptr": torch.tensor([512])}
    more = {"epoch": 3, "arch": name, "best_loss": torch.tensor(10.9)}
    return {"state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.03}]}, **more}


def test_the_description_itself_has_the_published_size():
    shapes = unet_shapes()
    assert len(shapes) == 380
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    weights = [torch.Size(shape).numel() for key, shape in shapes.items() if not key.endswith(buffers)]
    assert sum(weights) == 32_521_105
    first = [shapes[f"decoder.blocks.{block}.conv1.0.weight"][:2] for block in range(5)]
    assert first == [(256, 3072), (128, 768), (64, 384), (32, 128), (16, 32)]
    assert norm_shapes("decoder.blocks.4.conv2.1", 16).items() <= shapes.items()


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_keys_and_shapes_both_ways(name):
    published = filled(unet_shapes(name, slices=5, out_channels=2))
    with torch.device("meta"):
        ours = UNet25D(name, 5, 2).state_dict()
    converted = smp_unet_keys(published)
    assert shapes_of(converted) == shapes_of(ours)
    assert shapes_of(unet25d_to_smp(converted)) == shapes_of(published)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_same_output_as_the_published_layout(name, tmp_path):
    published = random_weights(unet_shapes(name))
    torch.save(published, tmp_path / "best_checkpoint.pth")
    network = UNet25D(name).eval().double()
    loaded = load_published(tmp_path / "best_checkpoint.pth", network)
    assert loaded.report.complete and len(loaded.report.matched) == len(published)
    network.load_state_dict(loaded.state_dict)
    x = torch.rand(2, 3, 64, 64).double()
    with torch.no_grad():
        expected = unet_logits({key: value.double() for key, value in published.items()}, x)
        assert expected.std() > 0.1  # an output worth comparing
        assert torch.allclose(network(x), expected, rtol=1e-9, atol=1e-9)
        # the published channel order under the right keys loads without complaint, and is wrong
        keys = zip(loaded.state_dict, unet25d_to_smp(loaded.state_dict), strict=True)
        network.load_state_dict({ours: published[theirs] for ours, theirs in keys})
        assert not torch.allclose(network(x), expected, atol=0.1 * expected.std())


def test_what_we_export_computes_the_same():
    torch.manual_seed(0)
    network = UNet25D("resnet18", slices=5, out_channels=2).eval()
    x = torch.rand(1, 5, 64, 64)
    with torch.no_grad():
        logits = network(x)
        assert logits.std() > 0.01
        assert torch.allclose(unet_logits(unet25d_to_smp(network.state_dict()), x), logits, atol=1e-4)


def test_round_trips_are_bitwise():
    published = random_weights(unet_shapes("resnet18"))
    assert same(unet25d_to_smp(smp_unet_keys(published)), published)
    ours = UNet25D("resnet18").state_dict()
    assert same(smp_unet_keys(unet25d_to_smp(ours)), ours)


def test_only_the_first_convolutions_of_blocks_with_a_skip_are_turned():
    published = random_weights(unet_shapes("resnet18"))
    converted = smp_unet_keys(published)
    origin = {value.data_ptr() for value in published.values()}
    turned = [key for key, value in converted.items() if value.data_ptr() not in origin]
    assert turned == [f"decoder.blocks.{block}.convs.conv_0.conv.weight" for block in range(4)]
    for block, skip in enumerate((256, 128, 64, 64)):
        theirs, ours = published[f"decoder.blocks.{block}.conv1.0.weight"], converted[turned[block]]
        assert torch.equal(ours, torch.cat([theirs[:, -skip:], theirs[:, :-skip]], dim=1))


@pytest.mark.parametrize(
    ("content", "dropped"),
    [
        (lambda: filled(unet_shapes()), 0),
        (lambda: prefixed("module.", filled(unet_shapes())), 0),
        (lambda: prefixed("backbone.", filled(unet_shapes())), 0),
        (full_checkpoint, 4 + 384 + 2),
    ],
)
def test_forms_of_the_file(content, dropped, tmp_path):
    torch.save(content(), tmp_path / "checkpoint.pth")
    loaded = load_published(tmp_path / "checkpoint.pth")
    assert len(loaded.state_dict) == 380 and all((value == 1).all() for value in loaded.state_dict.values())
    assert sum(key.startswith("encoder.") for key in loaded.state_dict) == 318
    assert len(loaded.report.dropped) == dropped and loaded.report.layout == "U-Net of CAiD"
    if dropped:
        assert {key.split(".")[1] for key in loaded.report.dropped} == {"encoder_q", "encoder_k", "queue", "queue_ptr"}
        assert "module.encoder_q.fc.0.weight" in loaded.report.dropped and f"{dropped} dropped (" in str(loaded.report)


@pytest.fixture(scope="module")
def target():
    """A network that no test changes, and its weights."""
    network = UNet25D("resnet18")
    return network, {key: value.clone() for key, value in network.state_dict().items()}


def damaged(**changes):
    entries = filled(unet_shapes("resnet18"))
    for key in [key for key in entries if any(key.startswith(part) for part in changes.get("without", ()))]:
        del entries[key]
    return entries | {key: torch.ones(shape) for key, shape in changes.get("more", {}).items()}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (damaged(without=["encoder.layer4.1.bn2.running_var"]), r"181 matched; 1 missing in the file .encoder.layer4"),
        (damaged(without=["encoder."]), "62 matched; 120 missing in the file"),
        (damaged(without=["segmentation_head."]), r"2 missing in the file .head.conv.weight, head.conv.bias"),
        (damaged(without=["decoder.blocks.2."]), "12 missing in the file"),
        (damaged(more={"encoder.layer5.0.conv1.weight": (2, 2, 1, 1)}), "1 unknown to the network .encoder.layer5"),
        (
            damaged(more={"encoder.layer1.0.conv1.weight": (64, 64, 1, 1)}),
            r"layer1.0.conv1.weight \(64, 64, 1, 1\) ",
        ),
        (
            damaged(more={"decoder.blocks.0.conv1.0.weight": (256,)}),
            r"conv_0.conv.weight \(256,\) instead of \(",
        ),
        ({f"encoder_q.x.{key}": value for key, value in damaged().items()}, "found 182 keys of another"),
        (prefixed(KEY + "backbone.", damaged()), "found 182 keys of another"),
        (prefixed("module.", damaged()) | damaged(), "found 364 keys of another"),
        (
            damaged(more={"encoder.layer1.0.bn1.bias": (64,)})
            | {"segmentation_head.0.bias": torch.tensor([torch.nan])},
            "NaN",
        ),
    ],
)
def test_a_file_that_is_not_whole_is_an_error(entries, words, tmp_path, target):
    torch.save(entries, tmp_path / "best_checkpoint.pth")
    with pytest.raises(CheckpointError, match="best_checkpoint.pth.*" + words):
        load_published(tmp_path / "best_checkpoint.pth")
    network, before = target
    with pytest.raises(CheckpointError, match="best_checkpoint.pth"):
        load_pretrained(network, tmp_path / "best_checkpoint.pth")
    assert same(network.state_dict(), before)


def test_a_new_head_for_segmentation():
    published = random_weights(unet_shapes("resnet18"))
    network = UNet25D("resnet18", out_channels=3)
    report = load_pretrained(network, published)
    assert report.fresh == ("head.conv.weight", "head.conv.bias") and len(report.matched) == 180
    expected = smp_unet_keys(published)
    assert all(torch.equal(network.state_dict()[key], expected[key]) for key in report.matched)


def test_export_of_another_network():
    with torch.device("meta"):
        densenet, backbone = UNet25D("densenet121").state_dict(), backbone_shapes("resnet18")
    with pytest.raises(ValueError, match="state_dict: must be that of a UNet25D with a ResNet"):
        unet25d_to_smp(densenet)
    with pytest.raises(KeyError, match="fc.weight"):
        unet25d_to_smp(filled({f"encoder.{key}": shape for key, shape in backbone.items()} | {"fc.weight": (2, 2)}))
