"""The loss of region prompts by hand, and what the engine relies on."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medgenesis.engines.method import check_method
from medgenesis.methods import RegionPrompts
from medgenesis.methods.prototypes import prototype_logits, prototypes
from medgenesis.networks import UNet3D
from medgenesis.transforms import RandRegionPromptd


@pytest.fixture(scope="module")
def batch():
    mark = RandRegionPromptd("image", segments=(4, 8)).set_random_state(0)
    volumes = torch.rand((2, 1, 16, 16, 16), generator=torch.Generator().manual_seed(0))
    samples = [mark({"image": F.avg_pool3d(volume[None], 5, 1, 2)[0]}) for volume in volumes]
    return {key: torch.stack([s[key].as_subclass(torch.Tensor) for s in samples]) for key in samples[0]}


def test_loss_is_cross_entropy_and_dice_of_each_query(batch):
    network = nn.Conv3d(1, 6, 3, padding=1)
    output = RegionPrompts(network, window=4, scale=9.0)(batch)
    entropies, dices = [], []
    for b in range(2):
        prompt, query = (F.normalize(network(batch[key][b : b + 1])[0], dim=0) for key in ("prompt", "image"))
        marked, target = batch["prompt_mask"][b, 0] > 0, batch["target"][b, 0]
        logits = prototype_logits(query, [prototypes(prompt, ~marked, 4), prototypes(prompt, marked, 4)], 9.0)
        p = logits.softmax(dim=0)
        chosen = torch.where(target > 0, p[1], p[0])
        entropies.append(-chosen.log().mean())
        dices.append(2 * (p[1] * target).sum() / (p[1].sum() + target.sum()))
    wanted = sum(entropies) / 2 + 1 - sum(dices) / 2
    assert output["loss"].item() == pytest.approx(wanted.item(), rel=1e-4)
    assert (
        output["dice"].item() == pytest.approx((sum(dices) / 2).item(), rel=1e-4) and not output["dice"].requires_grad
    )
    assert set(output) == {"loss", "found", *RegionPrompts.parts} and output["found"].shape == batch["target"].shape


def test_every_part_of_a_network_learns(batch):
    network = UNet3D(width=2, out_channels=8)
    method = RegionPrompts(network)
    check_method(method)
    method(batch)["loss"].backward()
    still = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert not [name for name in still if ".conv.bias" not in name]  # a norm after a convolution removes its bias


def test_a_batch_without_prompt_is_named(batch):
    with pytest.raises(ValueError, match="prompt: must be in the batch; found image, target. Mark regions by"):
        RegionPrompts(nn.Conv3d(1, 2, 1))({key: batch[key] for key in ("image", "target")})
    with pytest.raises(ValueError, match="window, scale: must be 1 voxel or more"):
        RegionPrompts(nn.Conv3d(1, 2, 1), window=(4, 0))
