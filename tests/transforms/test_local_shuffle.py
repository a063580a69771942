"""RandLocalShuffle: which windows, on which shapes."""

import numpy as np
import pytest
import torch

from medgenesis.transforms import RandLocalShuffle


@pytest.mark.parametrize(
    "shape, greatest",
    [((64, 64, 32), (6, 6, 3)), ((1, 9, 10), (1, 1, 1)), ((20, 30), (2, 3)), ((100, 19, 3), (10, 1, 1))],
)
def test_windows_reach_a_tenth_of_each_side_and_at_least_one_voxel(shape, greatest):
    params = RandLocalShuffle().sample(np.random.RandomState(0), (1, 1, *shape))
    assert params.max_sides == greatest and params.windows == 10_000
    assert (params.expand()[0].sides.max(axis=0) == greatest).all()


def test_each_cube_has_its_own_windows_and_all_channels_the_same():
    transform = RandLocalShuffle()
    params = transform.sample(np.random.RandomState(0), (2, 1, 20, 20, 20))
    cube = torch.arange(8000.0).reshape(1, 1, 20, 20, 20)
    out = transform.apply(cube.expand(2, 3, -1, -1, -1), params)
    assert torch.equal(out[:, 0], out[:, 1]) and torch.equal(out[:, 0], out[:, 2])
    assert not torch.equal(out[0], out[1])


def test_fewer_windows_change_less():
    cube = torch.rand(1, 32, 32, 32)
    few, many = (RandLocalShuffle(n).set_random_state(0)(cube) for n in (5, 500))
    assert 0 < (few != cube).sum() < (many != cube).sum()
