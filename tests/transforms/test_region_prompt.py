"""Region prompts: the region is one of SLIC's, its mask goes along with the view, and what is refused."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.ndimage import gaussian_filter
from skimage.segmentation import slic

from medgenesis.errors import IntensityRangeError
from medgenesis.transforms import RandRegionPromptd, region_prompt

STILL = {"degrees": 0, "scale": 0, "shift": 0, "prob_curve": (0, 0)}


def smooth(*shape, seed=0):
    rough = gaussian_filter(np.random.RandomState(seed).rand(*shape), 3)
    return torch.as_tensor((rough - rough.min()) / np.ptp(rough), dtype=torch.float32)[None]


@pytest.mark.parametrize("shape", [(24, 20, 16), (40, 32)])
def test_without_movement_both_views_are_the_volume_and_the_region_is_a_supervoxel(shape):
    volume = smooth(*shape)
    found = RandRegionPromptd("image", segments=(12, 12), **STILL).set_random_state(1)({"image": volume})
    assert set(found) == {"image", "target", "prompt", "prompt_mask"}
    for key in ("image", "prompt"):
        torch.testing.assert_close(torch.as_tensor(found[key]), volume, rtol=0, atol=1e-5)
    assert torch.equal(found["target"], found["prompt_mask"])
    labels = slic(volume[0].numpy(), n_segments=12, compactness=0.1, channel_axis=None, start_label=0)
    marked = found["target"][0].numpy() > 0
    assert len(np.unique(labels[marked])) == 1 and marked.sum() == (labels == labels[marked][0]).sum()


@pytest.mark.parametrize("shape", [(32, 28, 24), (48, 40)])
def test_the_mask_goes_along_with_its_view(shape, monkeypatch):
    """A bright ball that is the region: where the view is bright, its mask is, but for the ball's surface."""
    axes = np.meshgrid(*(np.arange(side) - side / 2 for side in shape), indexing="ij")
    ball = torch.as_tensor(sum(axis**2 for axis in axes) < 36, dtype=torch.float32)[None]
    monkeypatch.setattr(region_prompt, "slic", lambda volume, **_: (volume > 0.5).astype(int))
    places = set()
    for seed in range(6):
        found = RandRegionPromptd("image", prob_curve=(0, 0)).set_random_state(seed)({"image": 0.9 * ball})
        for key, mask in (("image", "target"), ("prompt", "prompt_mask")):
            bright, marked = (torch.as_tensor(found[name]).numpy() > 0.45 for name in (key, mask))
            assert 2 * (bright & marked).sum() / (bright.sum() + marked.sum()) > 0.9
            places.add(tuple(np.argwhere(marked).mean(axis=0).round(1)))
    assert len(places) == 12, "each view is moved by itself"


def test_a_view_that_loses_the_region_is_not_moved(monkeypatch):
    volume = torch.full((1, 16, 16, 16), 0.5)
    volume[:, :2, :2, :2] = 1
    monkeypatch.setattr(region_prompt, "slic", lambda volume, **_: (volume > 0.75).astype(int))
    mark = RandRegionPromptd("image", shift=0.9, sizes=(0.0001, 0.4), prob_curve=(0, 0))
    for seed in range(10):
        found = mark.set_random_state(seed)({"image": volume})
        assert all(found[key].sum() >= 2 for key in ("target", "prompt_mask"))


def test_air_is_not_marked_and_sizes_are_kept():
    volume = smooth(32, 24, 16)
    volume[:, :12] = 0
    for seed in range(8):
        found = RandRegionPromptd("image", sizes=(0.01, 0.2), **STILL).set_random_state(seed)({"image": volume})
        marked = torch.as_tensor(found["target"])[0] > 0
        assert volume[0][marked].mean() > 0.02 and 0.01 <= marked.float().mean() <= 0.2


def test_same_seed_same_sample_and_the_given_volume_stays():
    volume = MetaTensor(smooth(20, 20, 16), affine=torch.eye(4, dtype=torch.float64))
    before, mark = volume.clone(), RandRegionPromptd("image")
    first, again = (mark.set_random_state(5)({"image": volume, "patient": "a"}) for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in ("image", "target", "prompt", "prompt_mask"))
    assert torch.equal(volume, before) and first["patient"] == "a"
    assert not torch.equal(first["image"].affine, volume.affine), "the view has the place that it shows"
    other = mark.set_random_state(6)({"image": volume})
    assert not torch.equal(first["image"], other["image"])


def test_what_is_refused():
    with pytest.raises(ValueError, match="keys: must be four different names"):
        RandRegionPromptd("image", target_key="image")
    with pytest.raises(ValueError, match="segments: must be two rising numbers of 2 or more"):
        RandRegionPromptd(segments=(9, 3))
    with pytest.raises(ValueError, match="sizes: must be two rising shares"):
        RandRegionPromptd(sizes=(0.5, 0.1))
    with pytest.raises(ValueError, match="compactness, degrees, scale, shift"):
        RandRegionPromptd(scale=1.5)
    with pytest.raises(IntensityRangeError, match="must lie in value_range"):
        RandRegionPromptd()({"image": torch.full((1, 8, 8, 8), 300.0)})


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_dtype_stays(dtype):
    volume = torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    found = [RandRegionPromptd().set_random_state(1)({"image": one})["image"] for one in (volume.to(dtype), volume)]
    assert [one.dtype for one in found] == [dtype, torch.float32]
    assert torch.allclose(found[0].float(), found[1], atol=2e-3)
    assert RandRegionPromptd().set_random_state(1)({"image": volume.to(dtype)})["prompt"].dtype == dtype


@pytest.mark.parametrize("prob_curve", [(0.3,), (0.3, 0.2, 0.3), 0.3])
def test_other_than_two_probabilities_of_the_curve_are_refused(prob_curve):
    with pytest.raises(ValueError, match="prob_curve: must be two probabilities"):
        RandRegionPromptd(prob_curve=prob_curve)
