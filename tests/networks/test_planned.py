"""The network of nnU-Net's plans: its keys, its heads, what is refused."""

import copy
import sys

import pytest
import torch
from helpers.nnunet import plans

from medgenesis.data.nnunet import plan_of
from medgenesis.networks import EncoderClassifier, network_parts, planned_network
from medgenesis.networks.layers import network_layers
from medgenesis.weights import initialise, load_pretrained

ARCHITECTURES = {
    residual: plan_of(plans(residual=residual), source="plans")["architecture"] for residual in (False, True)
}


@pytest.fixture
def package():
    return pytest.importorskip("dynamic_network_architectures.architectures.unet")


@pytest.mark.parametrize("residual", [False, True])
def test_it_is_the_class_of_the_package_built_by_hand(package, residual):
    kind = package.ResidualEncoderUNet if residual else package.PlainConvUNet
    convolutions = {"n_blocks_per_stage" if residual else "n_conv_per_stage": [1, 2, 1]}
    other = kind(
        input_channels=2,
        n_stages=3,
        features_per_stage=[4, 8, 12],
        conv_op=torch.nn.Conv3d,
        kernel_sizes=[[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        num_classes=3,
        n_conv_per_stage_decoder=[1, 1],
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        **convolutions,
    )
    network = planned_network(ARCHITECTURES[residual], 2, 3)
    assert list(network.state_dict()) == list(other.state_dict())
    other.load_state_dict(network.state_dict())
    volume = torch.randn(1, 2, 8, 16, 12)
    torch.testing.assert_close(network(volume), other(volume))


@pytest.mark.parametrize("residual", [False, True])
def test_transfer_knows_its_parts(package, residual, caplog):
    network = planned_network(ARCHITECTURES[residual], 1, 1)
    parts = network_parts(network)
    assert parts.heads == ("decoder.seg_layers.0", "decoder.seg_layers.1")
    maps = parts.encoder(torch.randn(2, 1, 8, 16, 12))
    assert [one.shape[1] for one in maps] == [4, 8, 12] and parts.encoder.out_channels == 12
    assert EncoderClassifier(network, 3)(torch.randn(2, 1, 8, 16, 12)).shape == (2, 3)
    assert {part for part, _ in network_layers(network)} == {"encoder", "decoder", "head"}
    other = planned_network(ARCHITECTURES[residual], 1, 4)
    report = load_pretrained(other, network.state_dict())
    assert all(".seg_layers." in key for key in report.fresh) and len(report.fresh) == 4
    assert "decoder" not in caplog.text  # its heads alone begin anew
    inflated = initialise(planned_network(ARCHITECTURES[residual], 3, 1), network.state_dict(), inflate_input=True)
    one = torch.randn(1, 1, 8, 16, 12)
    torch.testing.assert_close(inflated(one.repeat(1, 3, 1, 1, 1)), network(one), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("whole_file", [False, True])
def test_the_encoder_alone(package, residual, whole_file, caplog):
    """The decoder holds the encoder under further names, which are no decoder's; also of a file that has no decoder."""
    source, network = (planned_network(ARCHITECTURES[residual], 1, outputs) for outputs in (1, 4))
    given = {key: value for key, value in source.state_dict().items() if whole_file or key.startswith("encoder.")}
    before = copy.deepcopy(network.state_dict())
    report = load_pretrained(network, given, parts="encoder" if whole_file else "all")
    assert set(report.matched) == {key for key in before if key.startswith(("encoder.", "decoder.encoder."))}
    assert set(report.fresh) == before.keys() - set(report.matched)
    assert all(
        torch.equal(value, (source.state_dict() if key in report.matched else before)[key])
        for key, value in network.state_dict().items()
    )
    assert ("has no decoder" in caplog.text) is not whole_file


def test_every_weight_that_is_trained_gets_a_gradient(package):
    network = planned_network(ARCHITECTURES[False], 1, 1)
    network(torch.randn(1, 1, 8, 16, 12)).square().mean().backward()
    without = [name for name, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]
    assert without == []
    assert (
        not network.decoder.seg_layers[0].weight.requires_grad and network.decoder.seg_layers[-1].weight.requires_grad
    )


def changed(**entries):
    architecture = copy.deepcopy(ARCHITECTURES[False])
    architecture["arch_kwargs"].update(entries)
    return architecture


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"network_class_name": "os.system"}, "network_class_name: must be one of PlainConvUNet"),
        (changed(conv_op="os.system"), "conv_op: must be a layer that is known .*found 'os.system'"),
        (changed(nonlin="torch.nn.modules.conv.Conv9d"), "nonlin: must be a layer that is known"),
        (changed(conv_op="torch.nn.modules.conv.Conv2d"), "choose 3d_fullres"),
        (changed(n_conv_per_stage=[1]), "arch_kwargs: must be those that PlainConvUNet takes"),
        (changed(odd=1), "arch_kwargs: must be those that PlainConvUNet takes"),
    ],
)
def test_what_the_plans_may_not_name_is_refused(package, architecture, message):
    with pytest.raises(ValueError, match=message):
        planned_network(architecture, 1, 1)


def test_without_the_package_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "dynamic_network_architectures", None)
    monkeypatch.setitem(sys.modules, "dynamic_network_architectures.architectures.unet", None)
    with pytest.raises(ValueError, match=r'must be installed.*pip install "medgenesis\[nnunet\]"'):
        planned_network(ARCHITECTURES[False], 1, 1)


@pytest.mark.parametrize("residual", [False, True])
def test_traced_as_the_pages_say_it_answers_alike_scripted_it_cannot_be(package, residual):
    network = planned_network(ARCHITECTURES[residual], 2, 3).eval()
    with torch.no_grad():
        traced = torch.jit.trace(network, torch.randn(1, 2, 8, 16, 12))
        for shape in ((1, 2, 8, 16, 12), (2, 2, 8, 32, 24)):
            volume = torch.randn(shape)
            torch.testing.assert_close(traced(volume), network(volume), rtol=0, atol=0)
    with pytest.raises(RuntimeError):  # or the page's sentence can go
        torch.jit.script(network)
