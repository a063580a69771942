"""Slice-wise inference against a plain loop over slices, and label maps on the scan's own grid."""

import nibabel
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.inferers import SliceInferer, SlidingWindowInferer
from monai.transforms import AsDiscreted, Compose, Invertd
from PIL import Image
from torch import nn

from medgenesis.data import preprocessing
from medgenesis.errors import VolumeError
from medgenesis.inference import SlabInferer
from medgenesis.transforms import RandSlab


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Conv2d(3, 2, 3, padding=1).eval().requires_grad_(False)


def _slab(volume, axis, place, step=1):
    """The slab of one slice as displayed, by numpy and by hand."""
    count = volume.shape[axis]
    slices = [np.take(volume, min(max(place + shift * step, 0), count - 1), axis) for shift in (-1, 0, 1)]
    shown = {0: lambda s: s.T[::-1], 1: lambda s: s.T[::-1], 2: lambda s: s.T}[axis]
    return torch.from_numpy(np.stack([shown(one) for one in slices]).copy())


def _by_loop(volume, axis, network, step=1):
    result = np.empty((2, *volume.shape), np.float32)
    for place in range(volume.shape[axis]):
        answer = network(_slab(volume, axis, place, step)[None])[0].numpy()
        laid = answer.transpose(0, 2, 1) if axis == 2 else answer[:, ::-1].transpose(0, 2, 1)
        result[(slice(None), *[slice(None)] * axis, place)] = laid
    return result


VOLUME = np.random.default_rng(0).random((6, 7, 9), dtype=np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("step, batch_size", [(1, 1), (2, 4), (5, 100)])
def test_equals_a_loop_over_slices(network, axis, step, batch_size):
    inferer = SlabInferer(3, axis, step=step, batch_size=batch_size)
    found = inferer(torch.from_numpy(VOLUME)[None, None], network)
    assert found.shape == (1, 2, 6, 7, 9)
    np.testing.assert_allclose(found[0].numpy(), _by_loop(VOLUME, axis, network, step), atol=1e-5)


def test_the_slabs_are_those_of_the_training(network):
    seen = []
    SlabInferer(3, 1)(torch.from_numpy(VOLUME)[None, None], lambda x: seen.append(x) or x)
    crop = RandSlab(3, 1).set_random_state(seed=0)
    for _ in range(5):
        slab = crop(torch.from_numpy(VOLUME)[None])
        assert torch.equal(slab, torch.cat(seen)[int(crop.params.slices[0, 1])])


def test_overlapping_windows_are_blended_as_monai_does(network):
    windows = SlidingWindowInferer((4, 5), sw_batch_size=3, overlap=0.5, mode="gaussian")
    found = SlabInferer(3, 2, windows, batch_size=2)(torch.from_numpy(VOLUME)[None, None], network)
    slab = _slab(VOLUME, 2, 4)
    np.testing.assert_allclose(found[0, ..., 4].numpy().transpose(0, 2, 1), windows(slab[None], network)[0], atol=1e-5)


def test_one_slice_a_slab_is_what_monais_slice_inferer_does():
    torch.manual_seed(0)
    kernel = nn.Conv2d(1, 2, 3, padding=1).requires_grad_(False)
    kernel.weight.data = kernel.weight + kernel.weight.mT  # MONAI does not turn its slices: a kernel that cannot tell
    volume = torch.from_numpy(VOLUME)[None, None]
    expected = SliceInferer(roi_size=(6, 7), spatial_dim=2)(volume, kernel)
    torch.testing.assert_close(SlabInferer(1, 2)(volume, kernel), expected)


def test_an_image_is_a_slab_of_equal_slices(network):
    image = torch.from_numpy(VOLUME[:, :, :1])[None, None]
    for axis in (0, 2):
        flat = SlabInferer(3, axis, step_mm=5.0)(image[..., 0], network)
        assert flat.shape == (1, 2, 6, 7)
        expected = network(image[0, :, :, :, 0].mT.expand(3, -1, -1)[None]).mT
        torch.testing.assert_close(flat, expected)
        torch.testing.assert_close(SlabInferer(3, axis)(image, network)[..., 0], expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_vectors_are_averaged_over_the_slices(network, axis):
    """A network that answers each slab by the mean and the brightest of its answers."""

    def global_average_pool(slabs):
        maps = network(slabs)
        return torch.stack([maps.mean(dim=(1, 2, 3)), maps.amax(dim=(1, 2, 3))], dim=1)

    volumes = torch.from_numpy(np.stack([VOLUME, VOLUME[::-1]]))[:, None]
    found = SlabInferer(3, axis, batch_size=2)(volumes, global_average_pool)
    for volume, answer in ((VOLUME, found[0]), (VOLUME[::-1], found[1])):
        each = [global_average_pool(_slab(volume, axis, place)[None])[0] for place in range(volume.shape[axis])]
        torch.testing.assert_close(answer, sum(each) / len(each))
    xray = torch.from_numpy(VOLUME[:, :, 0])[None, None]
    torch.testing.assert_close(
        SlabInferer(3, axis)(xray, global_average_pool)[0], global_average_pool(xray[0, 0].T.expand(1, 3, -1, -1))[0]
    )


def test_millimetres_are_rounded_to_slices_of_each_volume(network):
    volumes = torch.from_numpy(np.stack([VOLUME, VOLUME[::-1]]))[:, None]
    affines = torch.stack([torch.diag(torch.tensor([1.0, 1.0, z, 1.0])) for z in (1.0, 2.4)]).double()
    batch = MetaTensor(volumes, meta={"affine": affines, "filename_or_obj": ["a", "b"]})
    batch.is_batch = True
    found = SlabInferer(3, 2, step_mm=5.0)(batch, network)
    for volume, answer, step in ((VOLUME, found[0], 5), (VOLUME[::-1], found[1], 2)):
        np.testing.assert_allclose(answer.as_tensor().numpy(), _by_loop(volume, 2, network, step), atol=1e-5)


@pytest.mark.parametrize("settings", [{"axis": "random"}, {"slices": 2}, {"batch_size": 0}, {"step_mm": 0}])
def test_settings_that_cannot_be(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        SlabInferer(**settings)
    with pytest.raises(ValueError, match=r"\(1, 2, 4, 4\)"):
        SlabInferer()(torch.zeros(1, 2, 4, 4), nn.Identity())


class Threshold(nn.Module):
    """Logits of background and of what is bright in the middle slice."""

    def forward(self, x):
        middle = x[:, 1:2]
        return torch.cat([0.5 - middle, middle - 0.5], dim=1)


def test_label_maps_lie_on_the_grid_of_the_scan_and_of_the_xray(tmp_path):
    """A scan stored in odd axes and an X-ray, through one evaluator as a bundle has it: a threshold comes back
    whole.
    """
    axes = np.array([[0, 0, 2.0, 5], [-1.5, 0, 0, 7], [0, 1.0, 0, -3], [0, 0, 0, 1]])
    scan = np.random.default_rng(0).random((5, 8, 6)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(scan, axes), tmp_path / "scan.nii.gz")
    xray = np.random.default_rng(1).integers(0, 256, (9, 12)).astype(np.uint8)
    Image.fromarray(xray).save(tmp_path / "xray.png")
    steps = preprocessing(intensity="unit")
    records = [{"image": str(tmp_path / "scan.nii.gz")}, {"image": str(tmp_path / "xray.png"), "intensity": "xray"}]
    found = []
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(records, steps), batch_size=1),
        network=Threshold(),
        inferer=SlabInferer(3, 1, SlidingWindowInferer((8, 8), overlap=0.25)),
        postprocessing=Compose(
            [
                Invertd("pred", steps, orig_keys="image", nearest_interp=False),
                AsDiscreted("pred", argmax=True),
                lambda item: found.append(item["pred"]) or item,
            ]
        ),
    )
    evaluator.run()
    np.testing.assert_array_equal(found[0][0].numpy(), scan > 0.5)
    np.testing.assert_allclose(found[0].affine, axes, atol=1e-6)
    np.testing.assert_array_equal(found[1][0].numpy().T, xray / 255 > 0.5)


def test_millimetres_of_a_volume_without_an_affine(network):
    with pytest.raises(VolumeError, match="step_mm: must go with an affine"):
        SlabInferer(3, 2, step_mm=5.0)(torch.from_numpy(VOLUME)[None, None], network)
