"""What RandNonlinearIntensity draws, and that the map is the curve it shows."""

import numpy as np
import pytest
import torch
from scipy import stats

from medgenesis.transforms import RandNonlinearIntensity
from medgenesis.transforms.functional import backend as dispatch


def test_control_points_are_uniform_and_half_of_the_curves_fall():
    params = RandNonlinearIntensity().sample(np.random.RandomState(0), (4000, 1, 4, 4))
    for drawn in params.control_points.reshape(4000, 4).T:
        assert stats.kstest(drawn, "uniform").pvalue > 1e-4
    assert stats.binomtest(int(params.decreasing.sum()), 4000, 0.5).pvalue > 1e-4
    assert RandNonlinearIntensity(p_decreasing=0.0).sample(np.random.RandomState(0), (50, 1, 4)).decreasing.sum() == 0


@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_the_map_is_the_curve_that_expand_shows(backend, monkeypatch):
    if backend == "torch":
        monkeypatch.setattr(dispatch, "_compiled", lambda: None)
    transform = RandNonlinearIntensity(value_range=(-5, 15))
    params = transform.sample(np.random.RandomState(1), (6, 2, 8, 8, 8))
    volume = torch.rand(6, 2, 8, 8, 8, dtype=torch.float64) * 20 - 5
    mapped = transform.apply(volume, params)
    for cube, before, (x, y) in zip(mapped, volume, params.expand(segments=10**5), strict=True):
        assert (np.diff(x) > 0).all()
        expected = np.interp((before + 5) / 20, x, y) * 20 - 5
        assert np.abs(cube.numpy() - expected).max() <= 1e-4 * 20
