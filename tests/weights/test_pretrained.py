"""Pre-trained weights into a network: all (with a new head where it must be), or an error and an untouched network."""

import pytest
import torch
from monai.networks.nets import DynUNet, SegResNet, SwinUNETR
from torch.utils.data import DataLoader

from medgenesis.data import SeededSampler
from medgenesis.engines import PretextTrainer
from medgenesis.errors import CheckpointError
from medgenesis.methods import ModelsGenesis
from medgenesis.networks import AutoEncoder3D, EncoderClassifier, ResNet25D, SparseUNet3D, UNet3D, YNet3D, network_parts
from medgenesis.storage import save_checkpoint
from medgenesis.weights import initialise, load_pretrained
from medgenesis.weights.layouts.models_genesis import models_genesis_file
from medgenesis.weights.origin import origin_of
from medgenesis.weights.settings import with_settings

NETWORKS = {
    "UNet3D": lambda i=1, o=1: UNet3D(i, o, 2, norm="instance", activation=None),
    "DynUNet": lambda i=1, o=1: DynUNet(3, i, o, [3] * 4, [1, 2, 2, 2], [2, 2, 2], filters=[4, 8, 16, 20]),
    "SegResNet": lambda i=1, o=1: SegResNet(3, 8, i, o, blocks_down=(1, 1, 2), blocks_up=(1, 1)),
    "SwinUNETR": lambda i=1, o=1: SwinUNETR(in_channels=i, out_channels=o, feature_size=12, depths=(1, 1, 1, 1)),
}


def copy_of(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def published(key):
    """The published name of one of our keys."""
    part, _, level, *rest = key.replace("head.", "head.x.x.").replace(".convs", ".ops").split(".")
    names = {"encoder": ("down_tr64.ops", "down_tr128.ops", "down_tr256.ops", "down_tr512.ops")}
    names["decoder"] = ("up_tr256", "up_tr128", "up_tr64")
    stem = "out_tr" if part == "head" else names[part][int(level)]
    words = {"conv": "final_conv" if part == "head" else "conv1", "norm": "bn1", "up": "up_conv"}
    return ".".join([stem, *(words.get(word, word) for word in rest)])


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", NETWORKS)
def test_everything_when_all_fits(name, tmp_path):
    source, target = NETWORKS[name](), NETWORKS[name]()
    save_checkpoint(source.state_dict(), tmp_path / "pretrained.pt")
    report = load_pretrained(target, tmp_path / "pretrained.pt")
    assert report.complete and report.fresh == () and len(report.matched) == len(source.state_dict())
    assert same(target.state_dict(), source.state_dict())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_new_head_where_the_number_of_outputs_differs(name):
    source, target = NETWORKS[name](), NETWORKS[name](o=3)
    before = copy_of(target)
    report = load_pretrained(target, source.state_dict())
    prefix = network_parts(target).head + "."
    after = target.state_dict()
    assert report.fresh and all(key.startswith(prefix) for key in report.fresh) and report.complete
    assert all(
        torch.equal(after[key], before[key] if key in report.fresh else source.state_dict()[key]) for key in after
    )
    assert "2 left newly initialised" in str(report)


def test_skip_head_always_and_never():
    source, target = UNet3D(width=2), UNet3D(width=2)
    before = copy_of(target)
    report = load_pretrained(target, source.state_dict(), skip_head="always")
    assert report.fresh == ("head.conv.weight", "head.conv.bias")
    assert torch.equal(target.head.conv.weight, before["head.conv.weight"])
    with pytest.raises(CheckpointError, match="2 of another shape .head.conv.weight"):
        load_pretrained(UNet3D(out_channels=2, width=2), source.state_dict(), skip_head="never")
    with pytest.raises(ValueError, match="skip_head.*'maybe'"):
        load_pretrained(target, source.state_dict(), skip_head="maybe")


def test_a_checkpoint_of_our_training(tmp_path):
    """As `PretextTrainer` writes it: the whole method, of which the network alone is kept for transfer."""
    method, target = ModelsGenesis(UNet3D(width=2)), UNet3D(width=2)
    method.extra = torch.nn.Linear(2, 2)
    loader = DataLoader([0, 1], 2, sampler=SeededSampler(2), drop_last=True)
    optimizer = torch.optim.Adam(method.parameters())
    save_checkpoint(PretextTrainer("cpu", 1, loader, method, optimizer).checkpoint(), tmp_path / "best.pt")
    load_pretrained(target, tmp_path / "best.pt")
    assert same(target.state_dict(), method.network.state_dict())


def test_weights_saved_on_several_gpus():
    source, target = UNet3D(width=2), UNet3D(width=2)
    load_pretrained(target, {f"module.{key}": value for key, value in source.state_dict().items()})
    assert same(target.state_dict(), source.state_dict())


def test_published_layout_is_converted(tmp_path):
    source, target = UNet3D(width=2), UNet3D(width=2)
    state = source.state_dict()
    torch.save({"state_dict": {f"module.{published(key)}": state[key] for key in state}}, tmp_path / "Genesis.pt")
    assert load_pretrained(target, tmp_path / "Genesis.pt").layout == "Models Genesis"
    assert same(target.state_dict(), state)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: UNet3D(width=3), "90 of another shape"),
        (lambda: UNet3D(width=2, norm="instance"), "42 missing in the file"),
        (lambda: UNet3D(2, width=2), r"1 of another shape \(encoder.levels.0.0.conv.weight"),
        (lambda: SegResNet(3, 8), "0 matched; 106 missing in the file"),
    ],
)
def test_checkpoint_of_another_network_changes_nothing(other, words):
    target = UNet3D(width=2)
    before = copy_of(target)
    with pytest.raises(CheckpointError, match="checkpoint of another network.*" + words):
        load_pretrained(target, other().state_dict())
    assert same(target.state_dict(), before)


def test_not_finite_changes_nothing():
    source, target = UNet3D(width=2), UNet3D(width=2)
    source.encoder.levels[1][0].conv.weight.data[0] = torch.nan
    before = copy_of(target)
    with pytest.raises(CheckpointError, match="found NaN or infinity in 1 of 106 entries"):
        load_pretrained(target, source.state_dict())
    assert same(target.state_dict(), before)


# what their keys begin with, read off MONAI's modules: contracting path, and of SwinUNETR the block on its last map
ENCODERS = {
    "UNet3D": ("encoder.",),
    "DynUNet": ("input_block.", "downsamples.", "bottleneck."),
    "SegResNet": ("convInit.", "down_layers."),
    "SwinUNETR": ("swinViT.", "encoder10."),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_encoder_alone_of_each_network(name):
    source, target = NETWORKS[name](), NETWORKS[name](o=3)
    before, given = copy_of(target), source.state_dict()
    encoder = {id(v) for k, v in target.state_dict(keep_vars=True).items() if k.startswith(ENCODERS[name])}
    encoder = {key for key, value in target.state_dict(keep_vars=True).items() if id(value) in encoder}
    report = load_pretrained(target, given, parts="encoder")
    assert report.complete and report.entries == len(given)
    assert set(report.matched) == encoder and set(report.fresh) == set(report.dropped) == before.keys() - encoder
    after = target.state_dict()
    assert all(torch.equal(after[key], (given if key in encoder else before)[key]) for key in after)


def test_the_encoder_alone_of_an_unknown_network_is_refused():
    network = torch.nn.ModuleDict({"backbone": torch.nn.Conv3d(1, 6, 3), "last": torch.nn.Conv3d(6, 1, 1)})
    with pytest.raises(ValueError, match='parts: must be "all" .* found "encoder" and ModuleDict'):
        load_pretrained(network, copy_of(network), head="last", parts="encoder")


@pytest.mark.parametrize("name", NETWORKS)
def test_one_channel_spread_over_three(name):
    """Three equal channels must give what one channel gave: an input convolution is linear."""
    torch.manual_seed(0)
    source, target = NETWORKS[name]().eval(), NETWORKS[name](i=3).eval()
    with pytest.raises(CheckpointError, match="another shape"):
        load_pretrained(target, source.state_dict())
    assert load_pretrained(target, source.state_dict(), inflate_input=True).complete
    x = torch.rand(1, 1, 64, 32, 32)
    with torch.no_grad():
        assert torch.allclose(target(x.expand(-1, 3, -1, -1, -1)), source(x), atol=1e-4)


def test_initialise(tmp_path):
    source, target = UNet3D(width=2), UNet3D(width=2)
    before = copy_of(target)
    for scratch in ("scratch", None):
        assert initialise(target, scratch) is target and same(target.state_dict(), before)
    save_checkpoint(source.state_dict(), tmp_path / "p.pt")
    assert initialise(target, str(tmp_path / "p.pt"), skip_head="never") is target
    assert same(target.state_dict(), source.state_dict())
    with pytest.raises(CheckpointError, match="no such file"):
        initialise(target, str(tmp_path / "absent.pt"))  # never from scratch unasked


def test_head_of_an_unknown_network_by_name():
    def build(outputs):
        return torch.nn.ModuleDict({"backbone": torch.nn.Conv3d(1, 6, 3), "last": torch.nn.Conv3d(6, outputs, 1)})

    source, target = build(1), build(2)
    with pytest.raises(ValueError, match="head: must be the dotted name"):
        load_pretrained(target, source.state_dict())
    assert load_pretrained(target, source.state_dict(), head="last").fresh == ("last.weight", "last.bias")
    assert torch.equal(target["backbone"].weight, source["backbone"].weight)


def ynet(classes=5, decoder=True, outputs=1):
    return YNet3D(1, outputs, 2, classes, decoder=decoder)


def keys_of(network, *parts):
    return {key for key in network.state_dict() if key.startswith(parts)}


@pytest.mark.parametrize(
    ("source", "target", "dropped", "fresh"),
    [
        (lambda: ynet(), lambda: UNet3D(width=2), ("classifier.",), ()),
        (lambda: ynet(), lambda: UNet3D(out_channels=3, width=2), ("classifier.",), ("head.",)),
        (lambda: ynet(decoder=False), lambda: UNet3D(width=2), ("classifier.",), ("decoder.", "head.")),
        (lambda: ynet(decoder=False), lambda: ynet(), (), ("decoder.", "head.")),
        (lambda: ynet(decoder=False), lambda: ynet(7), (), ("decoder.", "head.", "classifier.")),
        (lambda: ynet(), lambda: ynet(7), (), ("classifier.",)),
        (lambda: ynet(), lambda: ynet(outputs=2), (), ("head.",)),
        (lambda: ynet(), lambda: ynet(decoder=False), ("decoder.", "head."), ()),
        (lambda: ynet(decoder=False), lambda: ynet(decoder=False), (), ()),
        (lambda: UNet3D(width=2), lambda: ynet(), (), ("classifier.",)),
        (lambda: UNet3D(width=2), lambda: ynet(decoder=False), ("decoder.", "head."), ("classifier.",)),
        (lambda: SparseUNet3D(width=2), lambda: UNet3D(out_channels=3, width=2), ("mask_tokens.",), ("head.",)),
        (lambda: UNet3D(width=2), lambda: SparseUNet3D(width=2), (), ("mask_tokens.",)),
    ],
)
def test_parts_that_only_one_side_has(source, target, dropped, fresh, caplog):
    source, target = source(), target()
    before, given = copy_of(target), source.state_dict()
    report = load_pretrained(target, given)
    assert report.complete and report.entries == len(given)
    assert set(report.dropped) == (keys_of(source, *dropped) if dropped else set())
    assert set(report.fresh) == (keys_of(target, *fresh) if fresh else set())
    after = target.state_dict()
    assert all(torch.equal(after[key], before[key] if key in report.fresh else given[key]) for key in after)
    for word, keys in (("left newly initialised", report.fresh), ("dropped", report.dropped)):
        assert (f"{len(keys)} {word} (" in str(report)) == bool(keys)
    assert ("has no decoder: that of" in caplog.text) == ("decoder." in fresh)


def test_never_leaves_nothing_newly_initialised():
    """As for restoring: the decoder must be there, and the class head may go."""
    target = UNet3D(width=2)
    before = copy_of(target)
    with pytest.raises(CheckpointError, match="50 missing in the file .decoder"):
        load_pretrained(target, ynet(decoder=False).state_dict(), skip_head="never")
    assert same(target.state_dict(), before)
    source = ynet()
    assert len(load_pretrained(target, source.state_dict(), skip_head="never").dropped) == 9
    assert same(target.state_dict(), {key: value for key, value in source.state_dict().items() if key in before})


def test_always_leaves_every_head_new():
    report = load_pretrained(ynet(), ynet().state_dict(), skip_head="always")
    assert set(report.fresh) == keys_of(ynet(), "head.", "classifier.")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (lambda: EncoderClassifier(UNet3D(width=2), 3).state_dict(), lambda: UNet3D(width=2)),
        (lambda: AutoEncoder3D(width=2).state_dict(), lambda: UNet3D(width=2)),
        (lambda: {k: v for k, v in ynet().state_dict().items() if "levels.1" not in k}, lambda: ynet()),
        (lambda: {k: v for k, v in ynet().state_dict().items() if "encoder" not in k}, lambda: UNet3D(width=2)),
    ],
)
def test_parts_that_differ_are_no_parts_that_are_absent(source, target):
    target = target()
    before = copy_of(target)
    with pytest.raises(CheckpointError, match="checkpoint of another network"):
        load_pretrained(target, source())
    assert same(target.state_dict(), before)


def test_initialise_en_de_from_en(tmp_path, caplog):
    source = ynet(decoder=False)
    save_checkpoint(source.state_dict(), tmp_path / "en.pt")
    target = initialise(ynet(), tmp_path / "en.pt")
    assert "en.pt has no decoder: that of YNet3D starts newly initialised" in caplog.text
    assert same(target.encoder.state_dict(), source.encoder.state_dict())
    assert same(target.classifier.state_dict(), source.classifier.state_dict())


def test_partial_takes_what_fits_and_says_how_much(caplog):
    source, target = UNet3D(width=4), UNet3D(width=4, out_channels=3)
    weights = {key: value for key, value in source.state_dict().items() if not key.startswith("encoder.levels.3")}
    weights |= {"projector.weight": torch.zeros(2)}
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(CheckpointError, match="partial=True"):
        load_pretrained(target, weights)
    report = load_pretrained(target, weights, partial=True, skip_head="never")
    assert len(report.missing) == 14 and report.unexpected == ("projector.weight",) and len(report.mismatched) == 2
    after = target.state_dict()
    assert all(torch.equal(after[key], source.state_dict()[key]) for key in report.matched)
    assert all(torch.equal(after[key], before[key]) for key in before if key not in report.matched)
    loaded = sum(after[key].numel() for key in report.matched) / sum(value.numel() for value in after.values())
    assert f"loaded in part, {100 * loaded:.0f} % of the network's values" in caplog.text
    with pytest.raises(CheckpointError, match="must have a key and its shape in common with the file; found"):
        load_pretrained(target, {"a.weight": torch.zeros(3)}, partial=True)


@pytest.mark.parametrize(("norm", "warns"), [("batch", True), ("batch_always", False)])
def test_a_published_file_in_another_norm_is_said(caplog, norm, warns):
    """The keys are the same, and the output is not: fidelity D5."""
    published = models_genesis_file(UNet3D(width=2).state_dict())["state_dict"]
    assert load_pretrained(UNet3D(width=2, norm=norm), published).complete
    assert ("was made with norm=batch_always" in caplog.text) is warns


@pytest.mark.parametrize(("theirs", "ours"), [(0, 3), (3, 0), (2, 3), (3, 3)])
def test_channels_for_clicks_leave_the_answer_as_it_was(theirs, ours):
    torch.manual_seed(0)
    source, target = (UNet3D(1, 2, width=2, activation=None, guidance=one).eval() for one in (theirs, ours))
    load_pretrained(target, with_settings(source.state_dict(), {"guidance": theirs}), inflate_input=True)
    image, maps = torch.rand(1, 1, 8, 8, 8), torch.rand(1, ours, 8, 8, 8)
    assert torch.allclose(target(image), source(image), atol=1e-5)
    expected = source(torch.cat([image, maps], 1)) if theirs == ours else source(image)
    assert torch.allclose(target(torch.cat([image, maps], 1)), expected, atol=1e-5)


def test_partial_of_counters_alone_is_nothing():
    """Batch norm's counters have one shape in every network."""
    target = UNet3D(width=2)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(CheckpointError, match="in common with the file; found none of weights"):
        load_pretrained(target, UNet3D(in_channels=2, out_channels=2, width=3).state_dict(), partial=True)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())


def test_a_published_backbone_without_its_head_keeps_its_terms(tmp_path):
    """Its keys are ours, and its name tells it; anyone's own weights of these keys are still of nobody else."""
    backbone = ResNet25D("resnet18", 3).state_dict()
    head = {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    headless = "supervised_r18"  # as the file of the transfer study is called
    files = {headless: backbone, "whole": backbone | head, "ours": with_settings(backbone, {"slices": 3})}
    files |= {"plain": backbone, "method": None}
    files["method"] = {"method": {f"network.{key}": value for key, value in backbone.items()}}
    origins = {}
    for name, content in files.items():
        torch.save(content, tmp_path / f"{name}.pth")
        network = ResNet25D("resnet18", 3)
        assert load_pretrained(network, tmp_path / f"{name}.pth").complete
        origins[name] = origin_of(network)
    assert origins["ours"] is None and origins["method"] is None and origins["plain"] is None
    told = {name: {**origins[name], "source": None} for name in (headless, "whole")}
    assert told[headless] == told["whole"] and origins[headless]["source"]["file"] == f"{headless}.pth"


def test_a_decoder_of_another_shape_is_said(caplog):
    encoder = {key: value for key, value in UNet3D(width=2).state_dict().items() if key.startswith("encoder.")}
    load_pretrained(UNet3D(width=2), {**UNet3D(width=3).state_dict(), **encoder}, partial=True)
    assert "has a decoder of another shape: that of UNet3D starts newly initialised" in caplog.text
    caplog.clear()
    lacking = {key: value for key, value in UNet3D(width=2).state_dict().items() if "decoder.levels.0" not in key}
    load_pretrained(UNet3D(width=2), lacking, partial=True)
    assert "decoder of another shape" not in caplog.text and "has no decoder" not in caplog.text


def test_a_tensor_of_several_names_counts_once():
    """`skip_layers` of DynUNet hold the blocks once more; a file may name each once."""
    source, target = NETWORKS["DynUNet"](), NETWORKS["DynUNet"]()
    once = {key: value for key, value in source.state_dict().items() if not key.startswith("skip_layers.")}
    report = load_pretrained(target, once)
    assert same(target.state_dict(), source.state_dict()) and report.share == 1
    assert f"(medgenesis, {len(once)} entries): {len(once)} matched; 0 missing" in str(report)
    lacking = {key: value for key, value in once.items() if not key.startswith("upsamples.0.")}
    report = load_pretrained(target, lacking, partial=True)
    assert report.entries == len(lacking) and f" {len(lacking)} matched; 7 missing in the file (" in str(report)
    numbers = [sum(value.numel() for value in one.values()) for one in (lacking, once)]
    assert report.share == pytest.approx(numbers[0] / numbers[1])
