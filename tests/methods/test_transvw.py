"""TransVW on other methods and networks: its loss, its gradients, and that its hook leaves nothing behind."""

import copy
import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import DynUNet, SegResNet, SwinUNETR
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from medgenesis.data import SeededSampler
from medgenesis.engines import PretextMethod, PretextTrainer
from medgenesis.methods import Adam, CAiD, ModelsGenesis, SemanticGenesis, TransVW
from medgenesis.networks import ResNet25D, UNet3D, UNet25D, YNet3D, network_parts
from medgenesis.storage import save_checkpoint
from medgenesis.weights import load_pretrained

NETWORKS = {
    "UNet3D": lambda: UNet3D(width=2),
    "DynUNet": lambda: DynUNet(3, 1, 1, [3] * 3, [1, 2, 2], [2, 2], filters=[4, 8, 16]),
    "SegResNet": lambda: SegResNet(3, 8, 1, 1, blocks_down=(1, 1, 2), blocks_up=(1, 1)),
}
# SwinUNETR halves five times, and its instance norm wants more than one value
ALL = {**NETWORKS, "SwinUNETR": lambda: SwinUNETR(in_channels=1, out_channels=1, feature_size=12, depths=(1, 1, 1, 1))}


def batch(sides=(16, 16, 16), classes=(0, 3)):
    torch.manual_seed(0)
    pair = {name: torch.rand(len(classes), 1, *sides) for name in ("image", "target")}
    return {**pair, "class": torch.tensor(classes)}


def hooks_of(module):
    return [name for name, child in module.named_modules() if child._forward_hooks or child._forward_pre_hooks]


@pytest.mark.parametrize("name", ALL)
def test_loss_is_the_methods_and_that_of_the_classes(name):
    network, pair = ALL[name](), batch((64, 32, 32) if name == "SwinUNETR" else (16, 16, 16))
    method = ModelsGenesis(network)
    added = TransVW(method, 5, weight=0.25).eval()
    assert added.network is network and added.parts == ("restoration", "classification", "accuracy")
    with torch.no_grad():
        output, alone = added(pair), method(pair)
        logits = added.classifier(network_parts(network).encoder(pair["image"])[-1])  # a second, separate pass
    entropy = F.cross_entropy(logits, pair["class"]).item()
    assert output["classification"].item() == pytest.approx(entropy, rel=1e-4)
    assert output["accuracy"].item() == (logits.argmax(1) == pair["class"]).sum().item() / 2
    assert output["loss"].item() == pytest.approx(alone["loss"].item() + 0.25 * entropy, rel=1e-4)
    assert torch.equal(output["restored"], alone["restored"]) and set(output) == {"loss", "restored", *added.parts}
    assert torch.equal(added.restore(pair["image"]), alone["restored"])


@pytest.mark.parametrize("name", ["CAiD", "Adam"])
def test_methods_on_slabs_name_patterns_too(name):
    torch.manual_seed(0)
    network = UNet25D("resnet18") if name == "CAiD" else ResNet25D("resnet18")
    method = (CAiD if name == "CAiD" else Adam)(network, dim=8, queue_size=8)
    added = TransVW(method, 5, weight=0.25, spatial_dims=2).eval()
    slabs = {view: torch.rand(2, 3, 64, 64) for view in ("image", "key")}
    slabs |= {"target": slabs["image"][:, 1:2], "class": torch.tensor([0, 3])}
    with torch.no_grad():
        output, alone = added(slabs), method(slabs)
        logits = added.classifier(network_parts(network).encoder(slabs["image"])[-1])
    entropy = F.cross_entropy(logits, slabs["class"]).item()
    assert output["loss"].item() == pytest.approx(alone["loss"].item() + 0.25 * entropy, rel=1e-4)
    added.train()(slabs)["classification"]
    assert set(added.parts) == {*method.parts, "classification", "accuracy"}


@pytest.mark.parametrize("name", NETWORKS)
def test_both_losses_reach_the_encoder(name):
    """Gradients add up: of both = of the method alone + weight * of the cross-entropy alone, and neither is nought."""
    network, pair = NETWORKS[name](), batch()
    method = ModelsGenesis(network)
    added = TransVW(method, 5, weight=0.25).eval()
    encoder = network_parts(network).encoder
    weights = [p for p in encoder.parameters() if p.ndim > 1]
    both = torch.autograd.grad(added(pair)["loss"], weights)
    restoring = torch.autograd.grad(method(pair)["loss"], weights)
    naming = torch.autograd.grad(F.cross_entropy(added.classifier(encoder(pair["image"])[-1]), pair["class"]), weights)
    for total, first, second in zip(both, restoring, naming, strict=True):
        assert first.abs().max() > 0 and second.abs().max() > 0
        assert torch.allclose(total, first + 0.25 * second, rtol=1e-3, atol=1e-6)
    added(pair)["loss"].backward()
    assert all(p.grad is not None for p in added.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_one_forward_pass_and_nothing_left_of_it(name):
    network, pair = NETWORKS[name](), batch()
    added = TransVW(ModelsGenesis(network), 5)
    before = copy.deepcopy(added)
    seen = []
    watch = network_parts(network).last_stage.register_forward_hook(
        lambda module, args, out: seen.append(weakref.ref(out if isinstance(out, torch.Tensor) else out[-1]))
    )
    output = added(pair)
    watch.remove()
    assert len(seen) == 1 and seen[0]() is not None
    del output
    gc.collect()
    assert seen[0]() is None  # neither the map nor its graph is held
    assert hooks_of(added) == [] == hooks_of(before)
    with pytest.raises(ValueError, match="class: must be from 0 to 4; found 0 to 5"):
        added({**pair, "class": torch.tensor([0, 5])})
    with pytest.raises(KeyError, match="target"):
        added({"image": pair["image"]})
    assert hooks_of(added) == []


def test_no_class_in_the_batch():
    pair = batch()
    del pair["class"]
    with pytest.raises(ValueError, match="class: must be in the batch; found image, target"):
        TransVW(ModelsGenesis(UNet3D(width=2)), 5)(pair)


class TwoViews(PretextMethod):
    """A method that runs its network on two views of each cube."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, batch):
        views = [self.network(batch[name]) for name in ("image", "target")]
        return {"loss": F.mse_loss(*views)}


def test_a_method_that_runs_its_encoder_twice():
    network, pair = UNet3D(width=2, norm="instance"), batch((32, 16, 16))
    added = TransVW(TwoViews(network), 5, norm="instance").eval()
    with torch.no_grad():
        added.classifier.fc.weight.mul_(100)  # else two random views look the same to a new network
        output = added(pair)
        logits = [added.classifier(network.encoder(pair[name])[-1]) for name in ("image", "target")]
        expected = F.cross_entropy(torch.cat(logits), pair["class"].repeat(2))
        apart = [F.cross_entropy(rows, pair["class"]).item() for rows in logits]
    assert abs(apart[0] - apart[1]) > 1e-2
    assert output["classification"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert added.parts == ("classification", "accuracy")


def test_views_laid_side_by_side_in_one_batch_are_refused():
    class SideBySide(TwoViews):
        def forward(self, batch):
            return {"loss": self.network(torch.cat([batch["image"], batch["target"]])).mean()}

    with pytest.raises(ValueError, match=r"class: must be 4 whole numbers, one a cube; found \(2,\)"):
        TransVW(SideBySide(UNet3D(width=2)), 5)(batch())


def test_a_network_that_goes_round_its_encoder():
    class Round(UNet3D):
        def forward(self, x):
            return self.head(self.decoder(self.encoder.forward(x)))

    with pytest.raises(ValueError, match="must call its encoder as a module; found that Round did not"):
        TransVW(ModelsGenesis(Round(width=2)), 5)(batch())


def test_what_cannot_be_added_to():
    with pytest.raises(ValueError, match="method: must not classify patterns itself; found SemanticGenesis"):
        TransVW(SemanticGenesis(YNet3D(width=2, num_classes=5)), 5)
    network = nn.ModuleDict({"encoder": nn.Conv3d(1, 4, 3), "head": nn.Conv3d(4, 1, 1)})
    network.encoder = nn.Sequential(nn.Conv3d(1, 4, 3))
    with pytest.raises(ValueError, match="must have out_channels.*found Sequential"):
        TransVW(ModelsGenesis(network), 5)


@pytest.fixture
def one_process(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", NETWORKS)
def test_distributed(one_process, name):
    """DDP stops at the second batch if a parameter got no gradient in the first."""
    added, pair = TransVW(ModelsGenesis(NETWORKS[name]()), 5, weight=0.25), batch()
    plain = copy.deepcopy(added)
    wrapped = DistributedDataParallel(added)
    for _ in range(2):
        wrapped(pair)["loss"].backward()
        plain(pair)["loss"].backward()
    for (key, ours), theirs in zip(added.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6), key
    assert hooks_of(added) == []


def test_through_the_engine_and_out_for_transfer(tmp_path):
    """A few steps learn the classes; what is transferred is the method's network, whole."""
    torch.manual_seed(0)
    target = torch.full((2, 1, 16, 16, 16), 0.2)
    target[1] = 0.8
    noisy = (target + 0.1 * torch.rand_like(target)).clamp(0, 1)
    cubes = [{"image": noisy[i % 2], "target": target[i % 2], "class": i % 2} for i in range(4)]
    loader = DataLoader(_ByPosition(cubes), 4, sampler=SeededSampler(4), drop_last=True)
    added = TransVW(ModelsGenesis(UNet3D(width=2)), 2, weight=1.0)
    trainer = PretextTrainer("cpu", 12, loader, added, torch.optim.Adam(added.parameters(), 0.01))
    trainer.run()
    assert trainer.state.metrics["accuracy"] == 1 and trainer.state.metrics["classification"] < 0.3
    save_checkpoint(trainer.checkpoint(), tmp_path / "last.pt")
    network = UNet3D(width=2)
    assert load_pretrained(network, tmp_path / "last.pt", skip_head="never").complete
    assert all(torch.equal(v, added.network.state_dict()[k]) for k, v in network.state_dict().items())


class _ByPosition(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, key):
        return self.items[key[1]]
