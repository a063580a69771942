"""The loss of the masked autoencoder by loops over voxels, and what the engine and other networks rely on."""

import itertools

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.networks.nets import UNETR, DynUNet
from torch import nn
from torch.utils.data import DataLoader, Dataset

from medgenesis.data.sampler import SeededSampler
from medgenesis.engines import PretextTrainer
from medgenesis.methods import MaskedAutoencoder, TransVW
from medgenesis.networks import SparseUNet3D, UNet3D
from medgenesis.transforms import RandMaskBlocksd


def batch(*shape, block_size=8, seed=0, **settings):
    hide = RandMaskBlocksd("image", target_key="target", block_size=block_size, **settings).set_random_state(seed)
    volumes = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    samples = [hide({"image": volume}) for volume in volumes]
    return {key: torch.stack([s[key].as_subclass(torch.Tensor) for s in samples]) for key in samples[0]}


def test_loss_is_the_mean_squared_difference_over_hidden_voxels():
    network = nn.Conv3d(2, 2, 3, padding=1)
    given = batch(2, 2, 8, 6, 4, block_size=2)
    output = MaskedAutoencoder(network)(given)
    answer, total, count = network(given["image"]).detach(), 0.0, 0
    for b, c, *at in itertools.product(*map(range, answer.shape)):
        if given["mask"][(b, 0, *at)]:
            total += (answer[(b, c, *at)] - given["target"][(b, c, *at)]).item() ** 2
            count += 1
    assert count == 2 * 2 * 18 * 8
    assert output["loss"].item() == pytest.approx(total / count, rel=1e-5)
    assert set(output) == {"loss", "restored", *MaskedAutoencoder.parts}
    assert torch.equal(output["restored"], answer) and not output["restoration"].requires_grad


def test_visible_voxels_of_the_target_do_not_matter():
    network = nn.Conv3d(1, 1, 3, padding=1)
    given = batch(2, 1, 8, 8, 8, block_size=4)
    given["target"].requires_grad_()
    MaskedAutoencoder(network)(given)["loss"].backward()
    assert torch.equal(given["target"].grad != 0, given["mask"])


@pytest.mark.parametrize("size", [4, (8, 4, 2)])
def test_the_target_is_normalised_block_by_block(size):
    network = nn.Sequential(nn.Conv3d(2, 2, 3, padding=1))
    given = batch(2, 2, 8, 8, 4, block_size=4)
    output = MaskedAutoencoder(network, normalise=size)(given)
    sides, target = np.broadcast_to(size, 3), given["target"].double().numpy()
    answer, errors = network(given["image"]).detach().double().numpy(), []
    for b, c, *at in np.ndindex(*target.shape):
        if given["mask"][(b, 0, *at)]:
            start = [place - place % side for place, side in zip(at, sides, strict=True)]
            block = target[(b, c, *(slice(s, s + side) for s, side in zip(start, sides, strict=True)))]
            wanted = (target[(b, c, *at)] - block.mean()) / (block.var(ddof=1) + 1e-6) ** 0.5
            errors.append((answer[(b, c, *at)] - wanted) ** 2)
    assert output["loss"].item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_normalised_targets_need_a_linear_head_and_give_no_intensities():
    for kind in (UNet3D, SparseUNet3D):
        with pytest.raises(ValueError, match="normalise: must go with a linear head; found Sigmoid"):
            MaskedAutoencoder(kind(width=2), normalise=8)
        MaskedAutoencoder(kind(width=2, activation=None), normalise=8)
    method, given = MaskedAutoencoder(nn.Conv3d(1, 1, 1), normalise=3), batch(1, 1, 8, 8, 8, block_size=4)
    assert not method.restores and MaskedAutoencoder(nn.Conv3d(1, 1, 1)).restores
    with pytest.raises(ValueError, match="normalise: must be None"):
        method.restore(given["image"], given["mask"])
    with pytest.raises(ValueError, match="normalise: must divide"):
        method(given)


def test_a_batch_without_a_mask_is_refused():
    with pytest.raises(ValueError, match="mask: must be in the batch; found image, target"):
        MaskedAutoencoder(nn.Conv3d(1, 1, 1))({"image": torch.rand(1, 1, 2, 2), "target": torch.rand(1, 1, 2, 2)})


def test_restored_is_what_was_hidden_alone():
    method, given = MaskedAutoencoder(SparseUNet3D(width=2).eval()), batch(2, 1, 16, 16, 16)
    restored = method.restore(given["image"], given["mask"])
    shown = ~given["mask"]
    assert torch.equal(restored[shown], given["target"][shown]) and not restored.requires_grad
    assert torch.equal(restored[~shown], method.network(given["image"], given["mask"])[~shown])


def test_a_sparse_network_sees_the_mask_and_not_the_filling():
    given, filled = (batch(2, 1, 16, 16, 16, fill=fill) for fill in (0.0, 0.7))
    torch.manual_seed(0)
    for network, alike in ((SparseUNet3D(width=2), True), (UNet3D(width=2), False)):
        method = MaskedAutoencoder(network)
        assert (method(given)["loss"] == method(filled)["loss"]) == alike


@pytest.mark.parametrize(
    "network",
    [
        lambda: UNETR(1, 1, (32, 32, 32), feature_size=4, hidden_size=12, mlp_dim=16, num_heads=2),
        lambda: DynUNet(3, 1, 1, [3, 3, 3], [1, 2, 2], [2, 2], filters=[2, 4, 8]),
    ],
    ids=["vision transformer", "nnU-Net"],
)
def test_other_networks_restore_too(network):
    method, given = MaskedAutoencoder(network()), batch(2, 1, 32, 32, 32, block_size=16)
    method(given)["loss"].backward()
    first = next(method.parameters())  # MONAI's transformer has others that it never uses
    assert method.restore(given["image"], given["mask"]).shape == (2, 1, 32, 32, 32) and first.grad.any()


def test_classes_can_be_added():
    method = TransVW(MaskedAutoencoder(SparseUNet3D(width=2)), num_classes=3)
    given = {**batch(2, 1, 16, 16, 16), "class": torch.tensor([0, 2])}
    output = method(given)
    alone = MaskedAutoencoder(method.network)(given)["restoration"]
    assert output["restoration"].item() == pytest.approx(alone.item(), rel=1e-5)
    output["loss"].backward()
    assert method.classifier.fc.weight.grad.any()
    assert torch.equal(*(m.eval().restore(given["image"], given["mask"]) for m in (method, method.method)))


class Ramps(Dataset):
    """Four ramps along an axis each, the same of each hidden in every epoch."""

    def __len__(self):
        return 4

    def __getitem__(self, key):
        rng = np.random.RandomState(key.index)
        volume = torch.linspace(0, 1, 16).expand(1, 16, 16, 16).movedim(-1, key.index % 3 + 1).contiguous()
        hide = RandMaskBlocksd("image", target_key="target", block_size=8, ratio=0.5).set_random_state(state=rng)
        return {name: value.as_subclass(torch.Tensor) for name, value in hide({"image": volume}).items()}


@pytest.mark.parametrize("kind", [SparseUNet3D, UNet3D])
@pytest.mark.usefixtures("one_thread")
def test_a_few_steps_lower_the_loss(kind):
    torch.manual_seed(0)
    method, losses = MaskedAutoencoder(kind(width=2)), []

    class Watch:
        def attach(self, engine):
            engine.add_event_handler(
                Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output[0]["loss"].item())
            )

    loader = DataLoader(Ramps(), 4, sampler=SeededSampler(4, seed=0), drop_last=True)
    optimizer = torch.optim.Adam(method.parameters(), lr=0.01)
    PretextTrainer("cpu", 20, loader, method, optimizer, None, [Watch()], channels_last=True).run()
    assert np.mean(losses[-4:]) < 0.5 * losses[0]
