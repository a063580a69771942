"""Segmentation by labelled images: a toy with a known answer, windows, and what is refused."""

import pytest
import torch
from monai.inferers import SlidingWindowInferer
from torch import nn

from medgenesis.errors import DatalistError
from medgenesis.inference import PromptedNetwork


class Colours(nn.Module):
    """Features by which three intensities are three directions."""

    def __init__(self):
        super().__init__()
        self.still = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.cat([(x < 0.3).float(), ((x >= 0.3) & (x < 0.6)).float(), (x >= 0.6).float()], dim=1) + self.still


def scan(sides, turned=False):
    image = torch.zeros(1, *sides)
    image[:, 2:6, 3:9], image[:, 8:11, 2:5] = 0.5, 0.9
    label = (image > 0.3).long() + (image > 0.6).long()
    return {key: value.flip(1, 2) if turned else value for key, value in (("image", image), ("label", label))}


@pytest.mark.parametrize("sides", [(13, 12, 10), (13, 12)])
def test_one_scan_segments_another_window_by_window(sides):
    network = PromptedNetwork(Colours(), [scan(sides)], 3, 8, window=2)
    other = scan(sides, turned=True)
    inferer = SlidingWindowInferer((8,) * len(sides), overlap=0.5)
    found = inferer(other["image"][None], network).argmax(dim=1)
    assert torch.equal(found[0], other["label"][0])
    assert torch.equal(network(other["image"][None]).argmax(dim=1)[0], other["label"][0])


def test_prototypes_are_a_part_of_the_model_and_not_too_many():
    network = PromptedNetwork(Colours(), [scan((40, 40, 40)), scan((40, 40, 40), True)], 3, 8, window=1)
    assert [len(bank) <= 256 for bank in network.banks] == [True] * 3 and len(network.banks[0]) == 256
    assert {f"prototypes_{number}" for number in range(3)} <= network.state_dict().keys()
    assert all(torch.allclose(bank.norm(dim=1), torch.ones(len(bank))) for bank in network.banks)


def test_classes_must_be_shown():
    with pytest.raises(DatalistError, match=r"must show every class from 0 to 3; found no voxel of 3 in 1 labelled"):
        PromptedNetwork(Colours(), [scan((13, 12, 10))], 4, 8)
    with pytest.raises(DatalistError, match="found no voxel of 0, 1 in 0 labelled"):
        PromptedNetwork(Colours(), [], 2, 8)
