"""Occlusion saliency against brute force, in 2D and 3D."""

import copy
import itertools
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from medgenesis.transfer.analyses.image_statistics import by_image_statistics
from medgenesis.transfer.analyses.saliency import attentive_diffusion, occlusion_saliency
from medgenesis.transfer.controls import control
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.geometry import Geometry
from medgenesis.transfer.questions.analyses import ask_saliency, drawn_heatmap
from medgenesis.transfer.study_set import StudySet


def quadratic(batch):
    """Features that are no linear function of the image."""
    flat = batch.flatten(1)
    return torch.stack([flat.sum(1), (flat**2).sum(1), flat[:, ::3].sum(1)], 1)


def brute_force(image, window, fill):
    """Each window, then each pixel, one after the other."""
    sides = image.shape[1:]
    whole = quadratic(image[None].double())[0]
    total, counts = np.zeros(sides), np.zeros(sides)
    for corner in itertools.product(*(range(side - window + 1) for side in sides)):
        covered = image.clone()
        place = tuple(slice(start, start + window) for start in corner)
        covered[(slice(None), *place)] = fill
        change = float((quadratic(covered[None].double())[0] - whole).norm() / whole.norm())
        total[place] += change
        counts[place] += 1
    inner = tuple(slice(window - 1, side - window + 1) for side in sides)
    assert (counts[inner] == window ** len(sides)).all()
    return total[inner] / window ** len(sides)


@pytest.mark.parametrize("sides, window", [((11, 9), 3), ((8, 7, 6), 2), ((6, 6), 1)])
@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_the_map_is_that_of_brute_force(sides, window, fill):
    torch.manual_seed(0)
    image = torch.rand(1, *sides)
    encoder = Encoder("quadratic", quadratic, len(sides), 1, sides)
    found = occlusion_saliency(encoder, image, window, fill=fill, batch_size=7)
    expected = brute_force(image, window, fill)
    assert found.heatmap.shape == expected.shape and np.allclose(found.heatmap, expected, rtol=1e-4)
    assert found.diffusion == pytest.approx((expected > expected.mean()).mean())


def test_attention_to_one_corner_is_seen_there():
    encoder = Encoder("corner", lambda batch: batch[:, :, 5:8, 5:8].flatten(1), 2, 1, (30, 30))
    found = occlusion_saliency(encoder, torch.full((1, 30, 30), 0.5), 4)
    assert found.heatmap[:8, :8].max() > 0 and found.heatmap[12:, 12:].max() == 0
    coarse = occlusion_saliency(encoder, torch.full((1, 30, 30), 0.5), 4, 2)
    assert coarse.changes.shape == (14, 14) and coarse.heatmap[14:, 14:].max() == 0


def test_a_constant_map_has_no_diffusion_and_impossible_windows_are_refused():
    assert attentive_diffusion(np.full((5, 5), 0.3)) == 0
    encoder = Encoder("none", lambda batch: torch.zeros(len(batch), 2), 2, 1, (8, 8))
    with pytest.raises(ValueError, match="^image: its features must be finite and not all 0"):
        occlusion_saliency(encoder, torch.rand(1, 8, 8), 3)
    with pytest.raises(ValueError, match="^window, stride: must be from 1 to the sides"):
        occlusion_saliency(encoder, torch.rand(1, 8, 8), 9)


@pytest.mark.parametrize("dims", [2, 3])
def test_statistics_of_the_image_are_those_of_a_network_in_training_mode(dims):
    torch.manual_seed(0)
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
    network = nn.Sequential(conv(1, 4, 3), nn.Sequential(norm(4), nn.ReLU()), conv(4, 2, 1), norm(2))
    nn.init.uniform_(network[1][0].weight)
    batch = torch.rand(3, 1, *(7,) * dims)
    encoder = Encoder("norm", network, dims, 1, (7,) * dims)
    found = by_image_statistics(encoder).maps(batch)
    before = copy.deepcopy(network.state_dict())
    alone = torch.cat([copy.deepcopy(network).train()(one[None]) for one in batch])
    assert torch.allclose(found, alone, atol=1e-5) and not torch.allclose(encoder.maps(batch), alone, atol=1e-2)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(ValueError, match="^a function: must be a network of PyTorch for --compat"):
        by_image_statistics(Encoder("a function", quadratic, 2, 1, (7, 7)))


def test_a_2d_encoder_sees_the_middle_slab_of_a_volume(tmp_path):
    volume = np.random.default_rng(0).random((22, 22, 9), dtype=np.float32)
    nib.save(nib.Nifti1Image(volume, np.diag([-1.0, -1, 1, 1])), tmp_path / "a.nii.gz")
    study_set = StudySet("one", ({"image": str(tmp_path / "a.nii.gz"), "section": "training", "patient": "a"},), ())
    encoder = Encoder("quadratic", quadratic, 2, 3, (16, 16), "unit")
    ask_saliency(encoder, study_set, tmp_path, images=1, window=4, stride=2)
    (path,) = (tmp_path / "saliency").rglob("*.npy")
    slabs = replace(encoder, size=(22, 22), geometry=Geometry("crop")).prepared(torch.from_numpy(volume)[None], "a")
    maps = [occlusion_saliency(encoder, slab, 4, 2).heatmap for slab in slabs]
    assert len(slabs) == 9 and np.allclose(np.load(path), maps[4], rtol=1e-4)
    assert not np.allclose(maps[4], maps[0], rtol=0.1)
    with pytest.raises(ValueError, match="saliency must be of an encoder of the images' own axes; found None and 3"):
        ask_saliency(control("table"), study_set, tmp_path, intensity="unit")


def test_a_map_is_drawn_over_the_pixels_that_it_is_of():
    """With a stride the frame is not even: the map of 27 pixels begins at pixel 3 of 32, and ends before pixel 30."""
    image = torch.linspace(0, 1, 32 * 32).reshape(1, 32, 32)
    drawn = drawn_heatmap(image, np.zeros((27, 27)), window=4)  # of a constant map red is half the image
    assert np.array_equal(drawn[..., 0], (255 * (0.5 * image[0, 3:30, 3:30].numpy())).astype(np.uint8))
