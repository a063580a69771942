"""Encoder, head and classifier of UNet3D and of MONAI's encoder-decoders."""

import pytest
import torch
from monai.networks.nets import UNETR, AttentionUnet, DynUNet, FlexibleUNet, SegResNet, SwinUNETR
from torch import nn

from medgenesis.engines import parameter_groups
from medgenesis.inference import embed_volume
from medgenesis.methods import ModelsGenesis, TransVW
from medgenesis.networks import EncoderClassifier, UNet3D, network_parts

NETWORKS = {
    "UNet3D": lambda n=1: UNet3D(1, n, 2),
    "DynUNet": lambda n=1: DynUNet(3, 1, n, [3] * 4, [1, 2, 2, 2], [2, 2, 2], filters=[4, 8, 16, 20]),
    "SegResNet": lambda n=1: SegResNet(3, 8, 1, n, blocks_down=(1, 1, 2), blocks_up=(1, 1), dropout_prob=0.2),
    "SwinUNETR": lambda n=1: SwinUNETR(in_channels=1, out_channels=n, feature_size=12, depths=(1, 1, 1, 1)),
}
# the module whose input is the last feature map, in the network's own forward
CONSUMERS = {
    "UNet3D": ("decoder.levels.0.up", 0),
    "DynUNet": ("upsamples.0", 0),
    "SegResNet": ("up_samples.0", 0),
    "SwinUNETR": ("decoder5", 0),
}
X = torch.rand(2, 1, 64, 32, 32)


@pytest.mark.parametrize("name", NETWORKS)
def test_encoder_gives_the_map_that_the_network_itself_decodes(name):
    network = NETWORKS[name]().eval()
    module, argument = CONSUMERS[name]
    seen = []
    network.get_submodule(module).register_forward_pre_hook(lambda _, args: seen.append(args[argument]))
    parts = network_parts(network)
    stage = []
    parts.last_stage.register_forward_hook(lambda _, args, out: stage.append(out))
    encoder = parts.encoder
    with torch.no_grad():
        network(X)
        assert (stage[0] if isinstance(stage[0], torch.Tensor) else stage[0][-1]) is seen[0]
        features = encoder(X)
    assert torch.equal(features[-1], seen[0])
    assert features[-1].shape[1] == encoder.out_channels
    voxels = [f[0, 0].numel() for f in features]
    assert voxels == sorted(voxels, reverse=True) and len(features) >= 3


@pytest.mark.parametrize("name", NETWORKS)
def test_encoder_shares_the_networks_parameters_under_its_keys(name):
    network = NETWORKS[name]()
    encoder = network_parts(network).encoder
    own = dict(network.named_parameters())
    prefix = "encoder." if name == "UNet3D" else ""
    for key, parameter in encoder.named_parameters():
        assert own[prefix + key] is parameter


@pytest.mark.parametrize("name", NETWORKS)
def test_head_is_all_that_depends_on_the_number_of_outputs(name):
    one, three = NETWORKS[name](1), NETWORKS[name](3)
    prefix = network_parts(one).head + "."
    other = three.state_dict()
    differing = {key for key, value in one.state_dict().items() if value.shape != other[key].shape}
    assert differing and all(key.startswith(prefix) for key in differing)
    assert differing == {key for key in other if key.startswith(prefix)}  # and nothing else is in it


@pytest.mark.parametrize("hidden", [None, 7])
@pytest.mark.parametrize("name", NETWORKS)
def test_classifier(name, hidden):
    network = NETWORKS[name]()
    classifier = EncoderClassifier(network, 3, hidden=hidden, dropout=0.5).eval()
    with torch.no_grad():
        logits, vector = classifier(X), classifier.embed(X)
        bottleneck = network_parts(network).encoder(X)[-1]
    assert logits.shape == (2, 3)
    assert torch.allclose(vector, bottleneck.flatten(2).mean(2), atol=1e-5)
    dense = [m for m in classifier.head if isinstance(m, nn.Linear)]
    expected = vector @ dense[0].weight.T + dense[0].bias
    if hidden:
        assert dense[0].out_features == hidden
        expected = expected.clamp(min=0) @ dense[1].weight.T + dense[1].bias
    assert torch.allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_classifier_trains_the_networks_encoder_and_holds_no_decoder(name):
    network = NETWORKS[name]()
    classifier = EncoderClassifier(network, 2, hidden=4)
    nn.functional.cross_entropy(classifier(X), torch.tensor([0, 1])).backward()
    # no parameter that the loss does not reach: distributed training fails on those
    assert [key for key, p in classifier.named_parameters() if p.grad is None] == []
    own = {id(p) for p in network.parameters()}
    assert all(id(p) in own for p in classifier.encoder.parameters())


def test_classifier_published_size():
    classifier = EncoderClassifier(UNet3D(width=2), 5)
    assert [m.out_features for m in classifier.head if isinstance(m, nn.Linear)] == [1024, 5]


def test_other_networks_by_dotted_names():
    network = FlexibleUNet(1, 2, "resnet10", spatial_dims=3, pretrained=False)
    parts = network_parts(network, head="segmentation_head")
    assert parts.head == "segmentation_head"
    assert parts.encoder is network.encoder
    with pytest.raises(ValueError, match="feature_channels: must be given"):
        EncoderClassifier(network, 3, hidden=None)
    classifier = EncoderClassifier(network, 3, hidden=None, feature_channels=512)
    assert classifier(torch.rand(2, 1, 32, 32, 32)).shape == (2, 3)


def test_a_named_encoder_may_return_one_tensor():
    network = nn.ModuleDict({"backbone": nn.Conv3d(1, 6, 3, stride=4), "last": nn.Conv3d(6, 2, 1)})
    classifier = EncoderClassifier(network, 3, encoder="backbone", hidden=None)
    assert classifier(torch.rand(2, 1, 16, 16, 16)).shape == (2, 3)


def test_unknown_network_says_what_it_has():
    network = UNETR(1, 2, (16, 16, 16), feature_size=4, hidden_size=12, mlp_dim=16, num_heads=2)
    with pytest.raises(ValueError, match="encoder: .* UNETR; found no 'encoder' among vit, .*encoder='vit'"):
        _ = network_parts(network).encoder
    with pytest.raises(ValueError, match="head: .* found no 'tail'"):
        _ = network_parts(network, head="tail").head
    with pytest.raises(ValueError, match="Give head='out', .*--network#head out"):
        _ = network_parts(network).head
    assert network_parts(network, head="out").head == "out"
    one = AttentionUnet(3, 1, 2, (4, 8), (2,))
    with pytest.raises(ValueError, match="among model. Give head=NAME .*--network#head NAME"):
        _ = network_parts(one).head


def test_deep_supervision_is_refused():
    network = DynUNet(3, 1, 2, [3] * 4, [1, 2, 2, 2], [2, 2, 2], filters=[4, 8, 16, 20], deep_supervision=True)
    with pytest.raises(ValueError, match="deep_supervision=True. Set it to False"):
        _ = network_parts(network).head


class _Wrapped(nn.Module):
    """A network whose encoder is called otherwise."""

    def __init__(self):
        super().__init__()
        self.model, self.last = nn.Conv3d(1, 2, 1), nn.Conv3d(2, 1, 1)
        self.model.out_channels = 2

    def forward(self, image):
        return self.last(self.model(image))


class _Said(_Wrapped):
    """The same, which follows the remedy of the error."""

    @property
    def encoder(self):
        return self.model

    @property
    def head(self):
        return self.last


@pytest.mark.parametrize(
    "asks",
    [
        lambda net: embed_volume(net, torch.rand(1, 4, 4, 4), (4, 4, 4)),
        lambda net: TransVW(ModelsGenesis(net), 2)(
            {"image": torch.rand(2, 1, 4, 4, 4), "target": torch.rand(2, 1, 4, 4, 4), "class": torch.tensor([0, 1])}
        ),
        lambda net: parameter_groups(net, 0.1, {"encoder": 0.1}),
    ],
)
def test_where_no_argument_says_the_encoder_a_property_does(asks):
    with pytest.raises(ValueError, match=r"Give encoder='model'.*have a property `encoder` that returns the module"):
        asks(_Wrapped())
    asks(_Said())
    assert _Said().state_dict().keys() == _Wrapped().state_dict().keys()
