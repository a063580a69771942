"""Simulated clicks: only in mistakes, the same after a restart, and a network learns to follow them."""

import pytest
import torch
from torch import nn

from medgenesis.losses import segmentation_loss
from medgenesis.methods import GuidedSupervised
from medgenesis.methods.guided import mistakes_clicked
from medgenesis.networks import UNet3D, guidance_maps

pytestmark = pytest.mark.usefixtures("one_thread")


def regions():
    truth = torch.zeros(12, 10, 8, dtype=torch.long)
    truth[1:5, 2:7, 1:6], truth[8:, 6:, 4:] = 1, 2
    found = truth.clone()
    found[1:4, 2:7, 1:6], found[6, 1:4, 1:4] = 0, 2  # most of a structure is missed, and one is seen in the background
    return found, truth


def test_clicks_lie_in_mistakes_and_have_the_true_class():
    torch.manual_seed(0)
    found, truth = regions()
    clicks = mistakes_clicked(found, truth, 200)
    assert set(clicks) == {0, 1} and sum(map(len, clicks.values())) == 200
    assert min(map(len, clicks.values())) > 60  # each class that was missed anywhere, however small
    for value, places in clicks.items():
        for place in places:
            x, y, z = map(int, place)
            assert truth[x, y, z] == value != found[x, y, z]
    inner = [place for place in clicks[1] if place == [2.0, 4.0, 3.0]]
    border = [place for place in clicks[1] if place == [1.0, 2.0, 1.0]]
    assert len(inner) > len(border)  # in the thick of a mistake


def test_nothing_is_clicked_where_nothing_is_wrong():
    assert mistakes_clicked(regions()[1], regions()[1], 5) == {}


class Recorded(nn.Module):
    """Always background; keeps what it was asked."""

    guidance = 2

    def __init__(self):
        super().__init__()
        self.norm, self.asked = nn.BatchNorm3d(1), []

    def forward(self, x):
        self.asked.append((x, self.norm.training))
        answer = self.norm(x[:, :1]) * 0
        return torch.cat([answer + 1, answer], 1)


def test_the_share_without_clicks_and_the_asking_leave_no_trace():
    network = Recorded()
    method = GuidedSupervised(network, segmentation_loss("dice_ce", 2), without_clicks=0.5, most_clicks=1).train()
    truth = torch.zeros(200, 1, 6, 6, 6)
    truth[:, :, 1:3] = 1
    batch = {"image": torch.randn(200, 1, 6, 6, 6), "label": truth}
    maps = []
    for _ in range(2):
        torch.manual_seed(3)
        method(batch)
        (first, in_training), (second, learning) = network.asked[-2:]
        assert first.shape[1] == 1 and not in_training and learning
        maps.append(second[:, 1:])
    assert int(network.norm.num_batches_tracked) == 2  # of four passes
    assert torch.equal(*maps)  # chance is the trainer's seed
    assert not maps[0][:, 0].any()  # background is nowhere missed
    clicked = maps[0][:, 1].flatten(1).amax(1)
    assert set(clicked.tolist()) == {0.0, 1.0} and 70 < int(clicked.sum()) < 130
    assert (maps[0][clicked == 1, 1].flatten(1).argmax(1) // 36).unique().tolist() == [1, 2]


class Shallow(nn.Module):
    """Two convolutions of image and maps: enough to look at a click."""

    guidance = 2

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv3d(6, 2, 3, padding=1))

    def forward(self, x):
        return self.layers(torch.cat([x, x.new_zeros(len(x), 3 - x.shape[1], *x.shape[2:])], 1))


def test_a_network_learns_to_follow_clicks():
    """The image is noise and says nothing: only a click tells where the structure is."""
    torch.manual_seed(0)
    method = GuidedSupervised(Shallow(), segmentation_loss("dice_ce", 2), without_clicks=0.2, most_clicks=2)
    optimizer = torch.optim.Adam(method.parameters(), 0.02)
    for _ in range(80):
        truth = torch.zeros(4, 1, 8, 8, 8)
        for one, corner in zip(truth, torch.randint(0, 5, (4, 3)).tolist(), strict=True):
            one[(0, *(slice(at, at + 4) for at in corner))] = 1
        optimizer.zero_grad()
        method({"image": torch.randn(4, 1, 8, 8, 8), "label": truth})["loss"].backward()
        optimizer.step()
    image, found = torch.randn(1, 1, 8, 8, 8), []
    for value, place in [(1, [2, 2, 2]), (1, [6, 6, 6]), (0, [2, 2, 2])]:
        maps = guidance_maps({value: [place]}, 2, (8, 8, 8), "cpu")
        found.append(method.network(torch.cat([image, maps[None]], 1)).softmax(1)[0, 1].detach())
    alone = method.network(image).softmax(1)[0, 1].detach()
    for probability, own, other in [(found[0], 2, 6), (found[1], 6, 2)]:
        assert probability[own, own, own] > alone[own, own, own] + 0.2
        assert probability[own, own, own] > probability[other, other, other] + 0.2
    assert found[2][2, 2, 2] < 0.1  # a click in the background


@pytest.mark.parametrize(
    ("options", "guidance", "words"),
    [({"without_clicks": 1.0}, 2, "without_clicks"), ({"most_clicks": 0}, 2, "most_clicks"), ({}, 0, "channels")],
)
def test_settings_out_of_range_are_refused(options, guidance, words):
    with pytest.raises(ValueError, match=words):
        GuidedSupervised(UNet3D(width=2, guidance=guidance), segmentation_loss("dice_ce", 2), **options)
