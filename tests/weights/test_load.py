"""The published Models Genesis file: keys one to one, and the same output as a network built in its layout."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medgenesis.errors import CheckpointError
from medgenesis.networks import EncoderClassifier, ResNet25D, SparseUNet3D, UNet3D, UNet25D, YNet3D
from medgenesis.weights import load_pretrained, load_published, models_genesis_keys
from medgenesis.weights.contents import tensors_of
from medgenesis.weights.inspection import inspect_weights
from medgenesis.weights.kept import FRESH, keep
from medgenesis.weights.layouts.models_genesis import models_genesis_file
from medgenesis.weights.layouts.semantic_genesis import semantic_genesis_file


class Reference(nn.Module):
    """A network with the published names, written from the description alone; it shares no code with ours."""

    def __init__(self, width=4, classes=1):
        super().__init__()
        channels = 1
        for i, name in enumerate((64, 128, 256, 512)):
            half = width * 2**i
            self.add_module(f"down_tr{name}", self.level(channels, half, 2 * half))
            channels = 2 * half
        for i, name in ((2, 256), (1, 128), (0, 64)):
            skip = 2 * width * 2**i
            level = self.level(channels + skip, skip, skip)
            level["up_conv"] = nn.ConvTranspose3d(channels, channels, 2, 2)
            self.add_module(f"up_tr{name}", level)
            channels = skip
        self.out_tr = nn.ModuleDict({"final_conv": nn.Conv3d(channels, classes, 1)})

    @staticmethod
    def level(a, b, c):
        def op(i, o):
            return nn.ModuleDict({"conv1": nn.Conv3d(i, o, 3, padding=1), "bn1": nn.BatchNorm3d(o)})

        return nn.ModuleDict({"ops": nn.ModuleList([op(a, b), op(b, c)])})

    @staticmethod
    def convs(level, x):
        for op in level["ops"]:
            y = op["conv1"](x)
            mean = y.mean((0, 2, 3, 4), keepdim=True)
            variance = ((y - mean) ** 2).mean((0, 2, 3, 4), keepdim=True)
            scale = [p.view(1, -1, 1, 1, 1) for p in (op["bn1"].weight, op["bn1"].bias)]
            x = ((y - mean) / torch.sqrt(variance + 1e-5) * scale[0] + scale[1]).clamp(min=0)
        return x

    def forward(self, x):
        skips = []
        for name in (64, 128, 256, 512):
            x = self.convs(getattr(self, f"down_tr{name}"), x)
            skips.append(x)
            x = F.max_pool3d(x, 2) if name != 512 else x
        for name, skip in zip((256, 128, 64), skips[2::-1], strict=True):
            level = getattr(self, f"up_tr{name}")
            x = self.convs(level, torch.cat((level["up_conv"](x), skip), 1))
        return torch.sigmoid(self.out_tr["final_conv"](x))


@pytest.fixture
def reference():
    torch.manual_seed(0)
    network = Reference()
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(-0.5, 0.5)
    return network


@pytest.fixture
def published(tmp_path, reference):
    def write(state_dict=None, prefix="module.", **more):
        entries = reference.state_dict() if state_dict is None else state_dict
        content = {"epoch": 7, "state_dict": {prefix + key: value for key, value in entries.items()}}
        torch.save({**content, "optimizer_state_dict": {"state": {}}, **more}, tmp_path / "Genesis.pt")
        return tmp_path / "Genesis.pt"

    return write


def test_keys_and_shapes_both_ways():
    theirs, ours = Reference(32).state_dict(), UNet3D().state_dict()
    assert len(theirs) == 106
    converted = models_genesis_keys({f"module.{key}": value for key, value in theirs.items()})
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in ours.items()}
    # back: each of ours came from exactly one of theirs, and the values are the very same tensors
    origin = {value.data_ptr(): key for key, value in theirs.items()}
    assert len(origin) == 106 and sorted(origin[v.data_ptr()] for v in converted.values()) == sorted(theirs)
    assert models_genesis_keys(theirs).keys() == converted.keys()
    assert models_genesis_keys({"module.other.weight": theirs["out_tr.final_conv.bias"]}).keys() == {"other.weight"}


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_a_key_too_many_is_named(published, reference, prefix):
    path = published({**reference.state_dict(), "ema.weight": torch.ones(2)}, prefix)
    network = UNet3D(width=4, norm="batch_always")
    for refused in (lambda: load_pretrained(network, path), lambda: inspect_weights(path)):
        with pytest.raises(CheckpointError, match=r"Models Genesis, 107 .* 1 unknown to the network \(ema.weight\)"):
            refused()
    assert len(load_pretrained(network, path, partial=True).matched) == 106


def test_a_key_with_and_without_module_is_refused(published, reference, tmp_path):
    """The second took the place of the first, without a word."""
    key = "down_tr64.ops.0.conv1.weight"
    entries = {f"module.{name}": value for name, value in reference.state_dict().items()}
    path = published({**entries, key: entries[f"module.{key}"] + 1}, "")
    own = UNet3D(width=4).state_dict()
    ours = "encoder.levels.0.0.conv.weight"
    torch.save({**own, f"module.{ours}": own[ours] + 1}, tmp_path / "own.pt")
    for file, name in ((path, key), (tmp_path / "own.pt", ours)):
        for read in (lambda file: load_pretrained(UNet3D(width=4), file), inspect_weights):
            with pytest.raises(CheckpointError, match=f"{file.name}: keys: must be of one network; found ") as refused:
                read(file)
            assert f"'{name}'" in str(refused.value) and f"'module.{name}'" in str(refused.value)


@pytest.mark.parametrize("prefix", ["module.module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappers_of_any_kind_and_number(published, reference, tmp_path, prefix):
    """Of DataParallel and `torch.compile`: the same layout and the same values as without."""
    bare = published().rename(tmp_path / "bare.pt")
    path = published(prefix=prefix)
    assert inspect_weights(path).layout.name == "Models Genesis"
    networks = [UNet3D(width=4, norm="batch_always") for _ in range(3)]
    wrapped = {f"{prefix}{key}": value for key, value in networks[0].state_dict().items()}
    for network, file in zip(networks, (path, bare, wrapped), strict=True):
        assert load_pretrained(network, file).complete
    for key, value in networks[0].state_dict().items():
        assert torch.equal(value, networks[1].state_dict()[key])
    ours = ResNet25D("resnet18").state_dict()
    torch.save({f"{prefix}{key}": value for key, value in ours.items()}, tmp_path / "r18.pt")
    assert inspect_weights(tmp_path / "r18.pt").layout.slug == "backbone"


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_same_output_as_the_published_layout(published, reference, prefix):
    network = UNet3D(width=4, norm="batch_always")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    loaded = load_published(published(prefix=prefix), network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())  # changes no network
    assert loaded.report.complete and len(loaded.report.matched) == 106
    assert "Genesis.pt (Models Genesis, 106 entries): 106 matched; 0 missing" in str(loaded.report)
    network.load_state_dict(loaded.state_dict)
    x = torch.rand(2, 1, 16, 24, 16)
    with torch.no_grad():
        expected = reference(x)
        assert expected.std() > 0.01  # an output worth comparing
        assert torch.allclose(network.train()(x), expected, atol=1e-5)
        assert torch.allclose(network.eval()(x), expected, atol=1e-5)
        network = UNet3D(width=4)
        network.load_state_dict(loaded.state_dict)
        assert not torch.allclose(network.eval()(x), expected, atol=1e-3)


def test_without_a_network(published):
    loaded = load_published(published())
    assert len(loaded.state_dict) == loaded.report.entries == 106
    assert not loaded.report.compared and "not compared with a network" in str(loaded.report)


def test_report_lists_what_does_not_fit(published, reference):
    entries = reference.state_dict()
    del entries["down_tr64.ops.0.conv1.bias"]
    report = load_published(published(entries), UNet3D(out_channels=2, width=4, norm="instance")).report
    assert report.missing == ("encoder.levels.0.0.conv.bias",)
    assert len(report.unexpected) == 14 * 3 and "encoder.levels.0.0.norm.running_mean" in report.unexpected
    assert report.mismatched == (("head.conv.weight", (1, 8, 1, 1, 1), (2, 8, 1, 1, 1)), ("head.conv.bias", (1,), (2,)))
    assert len(report.matched) + 1 + 42 + 2 == 106 and not report.complete
    text = str(report)
    assert "1 missing in the file (encoder.levels.0.0.conv.bias)" in text and "42 unknown to the network" in text
    assert "head.conv.weight (1, 8, 1, 1, 1) instead of (2, 8, 1, 1, 1)" in text


def test_unknown_layout_names_the_first_keys(tmp_path):
    torch.save({"state_dict": {f"layer{i}.weight": torch.zeros(2) for i in range(8)}}, tmp_path / "o.pt")
    with pytest.raises(
        CheckpointError,
        match=r"known layout of keys \(Models Genesis, .*found 8 keys.*layer0\.weight, .*layer4\.weight and 3 more",
    ):
        load_published(tmp_path / "o.pt")


def test_published_keys_among_others_are_refused_where_nothing_compares_them(published, reference):
    entries = {**reference.state_dict(), "clc_in.fc1.weight": torch.zeros(2, 2)}
    with pytest.raises(CheckpointError, match=r"keys of Models Genesis alone; found 1 .*\(clc_in.fc1.weight\)"):
        load_published(published(entries))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(published, reference, bad):
    entries = reference.state_dict()
    entries["up_tr128.up_conv.weight"][0, 0, 0, 0, 0] = bad
    with pytest.raises(
        CheckpointError, match=r"found NaN or infinity in 1 of 106 entries \(decoder\.levels\.1\.up\.weight\)"
    ):
        load_published(published(entries))


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {}}, {"epoch": 3}, torch.zeros(3), 5])
def test_files_without_weights(tmp_path, content):
    torch.save(content, tmp_path / "o.pt")
    with pytest.raises(CheckpointError, match=r"o\.pt: must be a dictionary of weights"):
        load_published(tmp_path / "o.pt")


def test_a_look_at_a_file_with_one_key(tmp_path):
    torch.save({"state_dict": {"module.down_tr64.ops.0.conv1.weight": torch.zeros(2, 1, 3, 3, 3)}}, tmp_path / "p.pt")
    with pytest.raises(CheckpointError, match="p.pt: must be a whole published checkpoint; .*missing in the file"):
        inspect_weights(tmp_path / "p.pt")


@pytest.mark.parametrize("network", [UNet3D(width=2), YNet3D(width=2), YNet3D(width=2, decoder=False)])
def test_a_look_at_whole_files(tmp_path, network):
    save = semantic_genesis_file if isinstance(network, YNet3D) else models_genesis_file
    torch.save(save(network.state_dict()), tmp_path / "p.pt")
    found = inspect_weights(tmp_path / "p.pt")
    assert found.layout is not None and found.extent == "whole"


@pytest.mark.parametrize(
    ("without", "extent"), [(("out_tr",), "whole but for its head"), (("out_tr", "up_tr"), "encoder alone")]
)
def test_a_look_at_a_published_file_without_a_whole_part(published, reference, without, extent):
    """As `weights import` takes it; a part of which something is there must be whole."""
    kept = {key: value for key, value in reference.state_dict().items() if not key.startswith(without)}
    assert inspect_weights(published(kept)).extent == extent
    with pytest.raises(CheckpointError, match="1 missing in the file"):
        inspect_weights(published({key: kept[key] for key in list(kept)[1:]}))


def test_a_look_at_an_import_in_part(tmp_path):
    state = UNet3D(width=2).state_dict()
    lacking = [key for key in state if key.startswith("decoder.levels.0.")]
    torch.save(keep({key: state[key] for key in state if key not in lacking}, FRESH, lacking), tmp_path / "p.pt")
    found = inspect_weights(tmp_path / "p.pt", any_network=True)
    assert found.extent == f"in part: {len(lacking)} tensors not in the file"
    encoder = {key: value for key, value in state.items() if key.startswith("encoder.")}
    torch.save(encoder, tmp_path / "e.pt")
    assert inspect_weights(tmp_path / "e.pt").extent == "encoder alone"


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (UNet3D(2, 3, width=2), "UNet3D, width 2, 2 channels"),
        (UNet3D(width=2, norm="instance"), "UNet3D, width 2, 1 channels"),
        (YNet3D(width=2, num_classes=5), "YNet3D, width 2, 1 channels"),
        (YNet3D(width=2, decoder=False), "YNet3D, width 2, 1 channels"),
        (SparseUNet3D(width=2), "SparseUNet3D, width 2, 1 channels"),
        (UNet25D("resnet18_w8", 5, 4), "UNet25D, resnet18_w8, 5 slices"),
        (EncoderClassifier(UNet3D(width=2), 3), "classifier on the encoder of UNet3D, width 2, 1 channels"),
        (
            EncoderClassifier(UNet3D(width=2), 3, hidden=None),
            "classifier on the encoder of UNet3D, width 2, 1 channels",
        ),
    ],
)
def test_a_plain_state_dict_of_ours(tmp_path, network, name):
    """Known by its keys and shapes, also where several GPUs have named it; a part of it is told from the whole."""
    state = network.state_dict()
    for prefix in ("", "module."):
        torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "p.pt")
        found = inspect_weights(tmp_path / "p.pt")
        assert found.network == name and not found.ours and found.weights.keys() == state.keys()
        assert found.settings.get("width", 8) in (2, 8) and found.report.complete
    del state[list(state)[3]]  # of the encoder
    torch.save(state, tmp_path / "p.pt")
    with pytest.raises(CheckpointError, match=f"p.pt: must be a whole state dict of .*{name}.*missing in the file"):
        inspect_weights(tmp_path / "p.pt")


@pytest.mark.parametrize("kind", ["sparse", "complex", "whole"])
def test_numbers_that_are_no_weights(tmp_path, kind):
    weights = UNet3D(width=2).state_dict()
    key = "encoder.levels.0.0.conv.weight"
    change = {"sparse": torch.Tensor.to_sparse, "complex": torch.Tensor.cfloat, "whole": torch.Tensor.int}[kind]
    with pytest.raises(CheckpointError, match=f"must be dense floats; found .* in 1 of 106 entries .{key}"):
        load_pretrained(UNet3D(width=2), {**weights, key: change(weights[key])})


def test_several_networks_and_odd_keys(caplog):
    network = {"a": torch.zeros(1)}
    found = tensors_of({"model": network, "model_ema": network, "optimizer": {"state": {}, "lr": 1}}, "f.pt")
    assert dict(found) == network and "f.pt: of several networks in it that of its entry model" in caplog.text
    assert "dropped: model_ema\n" in caplog.text
    with pytest.raises(CheckpointError, match="f.pt: must be a dictionary of weights; found 1 of its 1 keys"):
        tensors_of({1: torch.zeros(1)}, "f.pt")
