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


class Constant(nn.Module):
    """The same features everywhere."""

    def __init__(self, features):
        super().__init__()
        self.features = nn.Parameter(features)

    def forward(self, x):
        return self.features[None, :, None, None, None].expand(len(x), -1, *x.shape[2:])


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
    with pytest.raises(DatalistError, match=r"must show every class .*; found no voxel of 3 in 1 labelled"):
        PromptedNetwork(Colours(), [scan((13, 12, 10))], 4, 8)
    with pytest.raises(DatalistError, match="found no voxel of 0, 1 in 0 labelled"):
        PromptedNetwork(Colours(), [], 2, 8)


@pytest.mark.parametrize("declared", [{}, {2: "box"}, {2: "", 5: "ball"}])
def test_values_between_the_classes_shown_are_never_answered(declared, caplog):
    """Labels 0, 2, 5: the answer is that of 0, 1, 2 under the values as they are."""
    first, other = scan((13, 12, 10)), scan((13, 12, 10), turned=True)
    values = torch.tensor([0, 2, 5])
    network = PromptedNetwork(Colours(), [{**first, "label": values[first["label"]]}], 6, 8, declared=declared)
    found = network(other["image"][None]).argmax(dim=1)
    assert torch.equal(found[0], values[other["label"][0]])
    assert "never answered, as no prompt shows and nothing names them: 1, 3, 4" in caplog.text
    opposite = -torch.cat(network.banks).mean(dim=0)  # of no prototype: still one of the classes shown
    network.network = Constant(opposite)
    assert set(network(other["image"][None]).argmax(dim=1).unique().tolist()) <= {0, 2, 5}
    whole = PromptedNetwork(Colours(), [first], 3, 8)
    assert torch.equal(
        PromptedNetwork(Colours(), [first], 3, 8, declared={})(other["image"][None]), whole(other["image"][None])
    )


def test_the_background_must_be_shown_and_cannot_be_left_out():
    full = scan((13, 12, 10))
    full["label"] = full["label"] + (full["label"] == 0)
    with pytest.raises(DatalistError, match="found no voxel of 0 in 1 labelled") as error:
        PromptedNetwork(Colours(), [full], 3, 8)
    assert "`label_merge`" not in str(error.value) and "Take other prompts" in str(error.value)


def test_a_declared_class_must_be_shown():
    with pytest.raises(DatalistError, match=r"no voxel of 1 \(liver\), 4 in 1 .*`shots`.*`label_merge`"):
        one = scan((13, 12, 10))
        spread = {**one, "label": torch.tensor([0, 2, 5])[one["label"]]}
        PromptedNetwork(Colours(), [spread], 6, 8, declared={1: "liver", 4: ""})
    with pytest.raises(DatalistError, match=r"found no voxel of 6, 7 in 1 labelled"):  # no gaps: more than there are
        PromptedNetwork(Colours(), [spread], 8, 8, declared={})
    with pytest.raises(DatalistError, match=r"found no voxel of 0 \(background\), 1 in 0 labelled"):
        PromptedNetwork(Colours(), [], 2, 8, declared={})
