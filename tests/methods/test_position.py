"""Places of voxels against a volume of coordinates that is cropped along, and the loss in closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from medgenesis.data import RandAcceptedCropd
from medgenesis.methods import PositionRegression
from medgenesis.methods.position import voxel_places


@pytest.mark.parametrize("shape, size", [((20, 13, 9), (8, 8, 8)), ((20, 13), (8, 8)), ((6, 13, 20), (8, 16, 8))])
def test_places_are_those_of_the_voxels_in_the_volume(shape, size):
    grids = np.meshgrid(*((np.arange(side) + 0.5) / side for side in shape), indexing="ij")
    item = {"image": torch.rand(1, *shape), "place": torch.as_tensor(np.stack(grids), dtype=torch.float32)}
    crop = RandAcceptedCropd(["image", "place"], size, "any", pad=True, corners_key="corners")
    for seed in range(5):
        cut = crop.set_random_state(seed)(item)
        found = voxel_places(cut["corners"][None], size)[0]
        wanted = cut["place"].as_subclass(torch.Tensor)
        known = (wanted > 0).all(dim=0)  # padding is 0, and lies outside
        torch.testing.assert_close(found[:, known], wanted[:, known], rtol=0, atol=1e-6)
        outside = ((found < 0) | (found > 1)).any(dim=0)
        assert torch.equal(outside, ~known)


def test_loss_of_a_constant_answer():
    network = nn.Conv3d(1, 3, 1)
    nn.init.zeros_(network.weight)
    nn.init.constant_(network.bias, 0.5)
    corners = torch.tensor([[[0.0, 0, 0], [1, 1, 1]], [[0.5, 0, 0.25], [1, 0.5, 0.75]]])
    output = PositionRegression(network)({"image": torch.rand(2, 1, 4, 4, 4), "corners": corners})
    total, errors = 0.0, []
    for near, far in corners.tolist():
        for axis in range(3):
            for i in range(4):
                off = abs(near[axis] + (far[axis] - near[axis]) * (i + 0.5) / 4 - 0.5)
                total += 0.5 * off**2 / 0.05 if off < 0.05 else off - 0.025
                errors.append(off)
    assert output["loss"].item() == pytest.approx(total / 24, rel=1e-5)
    assert output["error"].item() == pytest.approx(np.mean(errors), rel=1e-5)


def test_what_is_lacking_is_named():
    image = torch.rand(1, 1, 4, 4, 4)
    with pytest.raises(ValueError, match="corners: must be in the batch; found image. Crop by RandAcceptedCropd"):
        PositionRegression(nn.Conv3d(1, 3, 1))({"image": image})
    with pytest.raises(ValueError, match=r"an output channel for each of 3 axes; found \(1, 2, 4, 4, 4\)"):
        PositionRegression(nn.Conv3d(1, 2, 1))({"image": image, "corners": torch.zeros(1, 2, 3)})
