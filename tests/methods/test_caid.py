"""CAiD: both terms by hand, who gets which gradient, its two modes and three discriminators."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from helpers.views import Slabs, Unet, differing, loader_of, state_of, two_views

from medgenesis.engines import PretextEvaluator, PretextTrainer
from medgenesis.errors import CheckpointError
from medgenesis.losses import barlow_twins
from medgenesis.methods import BarlowTwins, CAiD, MomentumContrast, SimSiam, TransVW
from medgenesis.networks import ResNet25D, UNet3D, UNet25D

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {MomentumContrast: dict(dim=5, queue_size=12), SimSiam: dict(dim=8, hidden=4), BarlowTwins: dict(dim=8)}
ALL = pytest.mark.parametrize("discrimination", SMALL)


def caid(discrimination=MomentumContrast, network=None, **settings):
    torch.manual_seed(0)
    return CAiD(network or Unet(), discrimination, **{**SMALL[discrimination], **settings})


@ALL
def test_both_terms_by_hand(discrimination):
    method, pair = caid(discrimination, id_weight=0.5, context_weight=3.0), two_views()
    twin = copy.deepcopy(method)
    output = method(pair)
    restored = 1 / (1 + torch.exp(-twin.network(pair["image"])))
    context = sum((a - b) ** 2 for a, b in zip(restored.flatten(), pair["target"].flatten(), strict=True)) / 256
    features = copy.deepcopy(caid(discrimination)).network.encoder(pair["image"])[-1].mean((2, 3))
    again = twin.discrimination(features, pair["key"], twin.network.encoder)
    assert output["context"].item() == pytest.approx(context.item(), rel=1e-5)
    assert output["discrimination"].item() == pytest.approx(again["loss"].item(), rel=1e-5)
    expected = 0.5 * again["loss"].item() + 3 * context.item()
    assert output["loss"].item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(output["restored"], restored.detach())
    assert not output["restored"].requires_grad and 0 < output["restored"].min() < output["restored"].max() < 1
    assert set(output) == {"loss", "restored", *method.parts}


@ALL
def test_the_decoder_learns_from_the_context_alone_and_the_encoder_from_both(discrimination):
    """In evaluation mode, for the terms to be computed separately; gradients add up."""
    method, pair = caid(discrimination, context_weight=2.0).eval(), two_views()
    network = method.network
    encoder = list(network.encoder.parameters())
    decoder = [*network.decoder.parameters(), *network.head.parameters()]

    def gradients(loss):
        return torch.autograd.grad(loss, encoder + decoder, allow_unused=True)

    both = gradients(method(pair)["loss"])
    features = network.encoder(pair["image"])[-1].mean((2, 3))
    telling = gradients(method.discrimination(features, pair["key"], network.encoder)["loss"])
    restoring = gradients(F.mse_loss(network(pair["image"]).sigmoid(), pair["target"]))
    assert all(gradient is None for gradient in telling[len(encoder) :])
    for total, first, second in zip(both, telling, restoring, strict=True):
        assert second.abs().max() > 0 and (first is None or first.abs().max() > 0)
        torch.testing.assert_close(total, 2 * second + (0 if first is None else first), rtol=1e-3, atol=1e-6)


@ALL
def test_every_parameter_that_wants_a_gradient_gets_one(discrimination):
    for mode in ("caid", "id"):
        method = caid(discrimination, mode=mode)
        method(two_views())["loss"].backward()
        for name, parameter in method.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, (mode, name)


def test_key_branch_has_no_decoder_and_no_gradient():
    key = caid().discrimination.key_encoder
    assert set(key.state_dict()) == set(Unet().encoder.state_dict())
    assert not any(parameter.requires_grad for parameter in key.parameters())


@pytest.mark.parametrize("network", [Unet, lambda: ResNet25D("resnet18")])
def test_instance_discrimination_alone(network):
    method, pair = caid(network=network(), mode="id", id_weight=2.0), two_views(side=32)
    del pair["target"]
    twin = copy.deepcopy(method)
    output = method(pair)
    encoder = getattr(twin.network, "encoder", twin.network)
    maps = encoder(pair["image"]) if isinstance(twin.network, Unet) else encoder.maps(pair["image"])
    alone = twin.discrimination(maps[-1].mean((2, 3)), pair["key"], copy.deepcopy(method.discrimination.key_encoder))
    assert output["loss"].item() == pytest.approx(2 * output["discrimination"].item(), rel=1e-6)
    assert output["discrimination"].item() == pytest.approx(alone["loss"].item(), rel=1e-3)
    assert set(output) == {"loss", *method.parts} and "context" not in method.parts
    with pytest.raises(ValueError, match='mode: must be "caid" to restore'):
        method.restore(pair["image"])


def test_modes_set_who_is_trained():
    network = Unet()
    caid(network=network, mode="id")
    assert [n for n, p in network.named_parameters() if p.requires_grad] == [
        f"encoder.{n}" for n, _ in network.encoder.named_parameters()
    ]
    caid(network=network)
    assert all(p.requires_grad for p in network.parameters())


@ALL
def test_evaluation_changes_nothing(discrimination):
    method = caid(discrimination)
    loader = loader_of(Slabs())
    optimizer = torch.optim.SGD(method.parameters(), 0.01)
    trainer = PretextTrainer("cpu", 2, loader, method, optimizer)
    trainer.run()
    assert set(method.parts) <= set(trainer.state.metrics)
    before = state_of(method)
    evaluator = PretextEvaluator("cpu", loader_of(Slabs(6), 4), method)
    evaluator.run()
    assert differing(before, method) == set() and math.isfinite(evaluator.state.metrics["loss"])
    method.train()(two_views())
    assert differing(before, method)


def test_a_run_of_the_other_mode_is_not_continued():
    """It would fit: in mode "id" the decoder is there too."""
    runs = []
    for mode in ("id", "caid"):
        method = caid(mode=mode)
        runs.append(PretextTrainer("cpu", 1, loader_of(Slabs()), method, torch.optim.SGD(method.parameters(), 0.01)))
    runs[0].run()
    with pytest.raises(CheckpointError, match="mode = 'id', now it is 'caid'"):
        runs[1].restore(runs[0].checkpoint())


def test_a_last_batch_of_one_is_refused_before_training_where_images_are_correlated():
    """Seven in batches of three; PretextEvaluator is what comes to it after the first epoch."""
    loader = torch.utils.data.DataLoader(Slabs(7), 3, sampler=loader_of(Slabs(7)).sampler)
    for method in (caid(BarlowTwins, UNet3D(width=2)), TransVW(caid(BarlowTwins, UNet3D(width=2)), 3)):
        with pytest.raises(ValueError, match="its last batch .* at least 2 .* found 7 samples in .* 3"):
            PretextEvaluator("cpu", loader, method)
    whole = torch.utils.data.DataLoader(Slabs(8), 3, sampler=loader_of(Slabs(8)).sampler)
    PretextEvaluator("cpu", whole, caid(BarlowTwins)).run()
    PretextEvaluator("cpu", loader, caid(SimSiam)).run()


def test_learns_to_restore():
    method, loader = caid(), loader_of(Slabs())
    optimizer = torch.optim.SGD(method.parameters(), 0.03, momentum=0.9)
    losses = []
    for epochs in (1, 40):
        trainer = PretextTrainer("cpu", epochs, loader, method, optimizer)
        trainer.run()
        losses.append(trainer.state.metrics["context"])
    assert losses[1] < 0.9 * losses[0]


def test_a_sigmoid_is_not_applied_twice():
    logits, bounded = Unet(), Unet(torch.nn.Sigmoid())
    bounded.load_state_dict(logits.state_dict())
    image = two_views()["image"]
    first, second = (caid(network=network).eval().restore(image) for network in (logits, bounded))
    torch.testing.assert_close(first, second)
    assert not first.requires_grad
    rectified = UNet25D("resnet18")
    rectified.head.activation = torch.nn.ReLU()
    for network, found in ((UNet25D("resnet18", activation="softmax"), "Softmax"), (rectified, "ReLU")):
        with pytest.raises(ValueError, match=f"found a {found}"):
            caid(network=network)


def test_bad_input():
    with pytest.raises(ValueError, match='mode: must be "caid" or "id"; found "both"'.replace('"both"', "'both'")):
        caid(mode="both")
    pair = two_views()
    pair["target"] = pair["image"]
    with pytest.raises(ValueError, match=r"target: must have the shape of what is restored, \(4, 1, 8, 8\)"):
        caid()(pair)
    with pytest.raises(ValueError, match="sides must divide by 32"):
        caid(network=UNet25D("resnet18"))(two_views(side=48))
    for discrimination in (SimSiam, BarlowTwins):
        with pytest.raises(ValueError, match="batch_size: must be at least 2"):
            caid(discrimination).check_batch(1)


@ALL
def test_on_the_real_network(discrimination):
    method, pair = caid(discrimination, UNet25D("resnet18")), two_views(side=32)
    for _ in range(2):
        method(pair)["loss"].backward()
    assert all(p.grad is not None for p in method.network.parameters())
    assert {k.partition(".")[0] for k in method.network.state_dict()} == {"encoder", "decoder", "head"}


def test_volumes_too():
    generator = torch.Generator().manual_seed(0)
    cubes = {name: torch.rand(2, 1, 16, 16, 16, generator=generator) for name in ("image", "key", "target")}
    method = caid(network=UNet3D(width=2))
    assert method(cubes)["restored"].shape == (2, 1, 16, 16, 16)


def test_under_transvw():
    added = TransVW(caid(network=UNet3D(width=2)), 3)
    cubes = {name: torch.rand(2, 1, 16, 16, 16) for name in ("image", "key", "target")}
    output = added({**cubes, "class": torch.tensor([0, 2])})
    assert set(output) == {"loss", "restored", *added.parts}
    assert added.settings == {"mode": "caid"}
    added.check_batch(4)
    with pytest.raises(ValueError, match="queue_size: must be a multiple"):
        added.check_batch(5)


def test_simsiam_by_hand():
    method, pair = caid(SimSiam), two_views()
    part = method.discrimination
    z = [part.projector(method.network.encoder(pair[name])[-1].mean((2, 3))) for name in ("image", "key")]
    p = [part.predictor(projection) for projection in z]
    cosines = [torch.stack([a @ b / a.norm() / b.norm() for a, b in zip(p[i], z[1 - i], strict=True)]) for i in (0, 1)]
    output = method(pair)
    assert output["discrimination"].item() == pytest.approx(-sum(c.mean().item() for c in cosines) / 2, rel=1e-5)
    unit = z[0] / z[0].norm(dim=1, keepdim=True)
    spread = ((unit - unit.mean(0)) ** 2).mean(0).sqrt().mean().item() * math.sqrt(8)
    assert output["spread"].item() == pytest.approx(spread, rel=1e-4)
    collapsed = {**pair, "image": pair["image"][:1].expand(4, -1, -1, -1)}
    assert method(collapsed)["spread"].item() == pytest.approx(0, abs=1e-5)
    assert [tuple(w.shape) for w in part.projector.parameters() if w.ndim == 2] == [(6, 6), (6, 6), (8, 6)]
    assert part.projector[-1].affine is False and len(list(part.projector)) == 8


def test_barlow_by_hand():
    method, pair = caid(BarlowTwins), two_views()
    part = method.discrimination
    z = [part.projector(method.network.encoder(pair[name])[-1].mean((2, 3))) for name in ("image", "key")]
    assert method(pair)["discrimination"].item() == pytest.approx(barlow_twins(*z).item(), rel=1e-5)
    kinds = [type(module).__name__ for module in part.projector]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear"]
