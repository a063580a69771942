"""Dense contrast: the voxels that are compared are the same ones, its loss by loops, and what is drawn."""

import itertools
import math

import pytest
import torch
from torch import nn

from medgenesis.methods import DenseContrast, check_overlap_voxels

OFFSET = torch.tensor([[2, -1, 0], [-3, 0, 1]])


class Given(nn.Module):
    """Features that are the input."""

    def forward(self, x):
        return x


def pairs(seed=0):
    """Two crops of one field of feature vectors a sample."""
    field = torch.randn((2, 5, 12, 12, 12), generator=torch.Generator().manual_seed(seed))
    first = field[:, :, 3:10, 3:10, 3:10]
    second = [
        field[b, :, 3 + x : 10 + x, 3 + y : 10 + y, 3 + z : 10 + z] for b, (x, y, z) in enumerate(OFFSET.tolist())
    ]
    return {"image": first, "other": torch.stack(second), "offset": OFFSET}


def test_the_same_voxels_are_compared():
    method = DenseContrast(Given(), voxels=200)
    here, there = method._places(OFFSET, (7, 7, 7))
    assert torch.equal(here - there, OFFSET[:, None].expand(-1, 200, -1))
    assert all(((0 <= places) & (places < 7)).all() for places in (here, there))
    for b in range(2):
        for axis in range(3):
            ends = here[b, :, axis].unique().tolist()
            low = max(int(OFFSET[b, axis]), 0)
            assert ends == list(range(low, low + 7 - abs(int(OFFSET[b, axis]))))


def test_equal_features_are_matched_and_their_loss_is_that_of_loops():
    method, batch = DenseContrast(Given(), voxels=6, temperature=0.2).eval(), pairs()
    output = method(batch)
    here, there = method._places(OFFSET, (7, 7, 7))
    a = [batch["image"][(b, slice(None), *at)] for b in range(2) for at in here[b].tolist()]
    c = [batch["other"][(b, slice(None), *at)] for b in range(2) for at in there[b].tolist()]
    cosine = [[float(x @ y / x.norm() / y.norm()) / 0.2 for y in c] for x in a]
    total = 0.0
    for rows in (cosine, list(map(list, zip(*cosine, strict=True)))):
        total += sum(math.log(sum(map(math.exp, row))) - row[i] for i, row in enumerate(rows)) / len(rows) / 2
    assert all(torch.equal(x, y) for x, y in zip(a, c, strict=True))
    assert output["loss"].item() == pytest.approx(total, rel=1e-5)
    assert output["matched"].item() == 1


def test_voxels_are_new_in_training_the_same_in_evaluation_and_go_on_after_a_restart():
    method = DenseContrast(Given(), voxels=9)
    drawn = [method._places(OFFSET, (7, 7, 7))[0] for _ in range(4)]
    assert not any(torch.equal(drawn[0], later) for later in drawn[1:])
    other = DenseContrast(Given(), voxels=9)
    for _ in range(2):
        other._places(OFFSET, (7, 7, 7))
    restarted = DenseContrast(Given(), voxels=9)
    restarted.load_state_dict(other.state_dict())
    assert torch.equal(restarted._places(OFFSET, (7, 7, 7))[0], drawn[2])
    restarted.eval()
    assert torch.equal(*(restarted._places(OFFSET, (7, 7, 7))[0] for _ in range(2)))


def test_what_cannot_be_compared_is_named():
    method = DenseContrast(Given())
    with pytest.raises(ValueError, match="other: must be in the batch; found image. Make pairs by RandTwoCubesd"):
        method({"image": torch.rand(1, 2, 4, 4)})
    with pytest.raises(ValueError, match=r"offset: must leave an overlap of cubes of \(7, 7, 7\)"):
        method({**pairs(), "offset": torch.tensor([[7, 0, 0], [0, 0, 0]])})
    with pytest.raises(ValueError, match="voxels: must be at most 343, those of a cube; found 344. Take fewer"):
        DenseContrast(Given(), voxels=344)(pairs())
    with pytest.raises(ValueError, match="voxels, temperature: must be at least 2, and above 0; found 1"):
        DenseContrast(Given(), voxels=1)


@pytest.mark.parametrize("sides", [(7, 4, 1), (3, 2, 5)])
def test_no_more_voxels_than_the_smallest_overlap_holds(sides):
    """Of all places of two cubes in one of one and a half times their sides, counted one by one."""
    starts = [range(side // 2 + 1) for side in sides]
    places = list(itertools.product(*starts))
    least = min(
        math.prod(side - abs(a - b) for side, a, b in zip(sides, one, other, strict=True))
        for one in places
        for other in places
    )
    check_overlap_voxels(least, sides)
    with pytest.raises(ValueError, match=f"voxels: must be at most {least}, .*found {least + 1}"):
        check_overlap_voxels(least + 1, sides)
