"""A model answers with what it was trained with, whatever the app is started with today."""

import nibabel as nib
import numpy as np
import pytest
import torch

from medgenesis import bundles
from medgenesis.errors import VolumeError
from medgenesis.label_app.segmenter import Segmenter
from medgenesis.label_app.settings import AppSettings
from medgenesis.networks import UNet3D, UNet25D
from medgenesis.weights.settings import with_settings

TRAINED = {"width": 4, "cube_size": [16, 16, 16], "norm": "batch", "num_classes": 3, "intensity": "ct"}
TRAINED |= {"spacing_mm": None, "in_channels": 1}


@pytest.mark.parametrize(
    ("overlays", "settings"), [(["quick"], {"width": 4}), (["quick"], {"width": 6}), ([], {"width": 6}), ([], {})]
)
def test_a_model_keeps_the_settings_of_its_training(tmp_path, overlays, settings):
    """The overlay `quick` has another width, and so has the command of today."""
    network = UNet3D(1, 3, width=4, activation=None)
    torch.save(with_settings(network.state_dict(), TRAINED), tmp_path / "model.pt")
    nib.save(
        nib.Nifti1Image(np.arange(16**3).reshape(16, 16, 16).astype(np.int16) % 999 - 500, np.eye(4)),
        tmp_path / "scan.nii.gz",
    )
    bundle = "models_genesis_ct"
    app = AppSettings(bundle, str(bundles.path(bundle)), ["lungs", "liver"], "scratch", overlays, settings)
    segmenter = Segmenter(app, tmp_path / "model.pt")
    assert list(segmenter.inferer.roi_size) == TRAINED["cube_size"]
    assert segmenter.label_map(tmp_path / "scan.nii.gz").shape == (1, 16, 16, 16)


class Echo(torch.nn.Module):
    """Answers with the maps of its clicks."""

    guidance = 3

    def forward(self, x):
        maps = x[:, 1:] if x.shape[1] > 1 else x.new_zeros(len(x), 3, *x.shape[2:])
        return 5 * maps


@pytest.mark.parametrize("spacing", [None, [2.0, 2.0, 2.0]], ids=["own spacing", "resampled"])
@pytest.mark.parametrize("axes", ["LAS", "RPI", "SLP"])
def test_a_click_reaches_the_network_where_it_lies_in_the_body(tmp_path, axes, spacing):
    network = UNet3D(1, 3, width=4, activation=None)
    torch.save(with_settings(network.state_dict(), {**TRAINED, "spacing_mm": spacing}), tmp_path / "model.pt")
    image = nib.Nifti1Image(
        np.arange(20 * 16 * 12).reshape(20, 16, 12).astype(np.int16) % 999 - 500, np.diag([2, 2, 4, 1])
    )
    to = nib.orientations.axcodes2ornt(axes)
    image = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), to))
    nib.save(image, tmp_path / "scan.nii.gz")
    bundle = "models_genesis_ct"
    app = AppSettings(bundle, str(bundles.path(bundle)), ["lungs", "liver"])
    segmenter = Segmenter(app, tmp_path / "model.pt", network=Echo())
    assert segmenter.guided
    place = tuple(int(0.3 * side) for side in image.shape)
    found = segmenter.probabilities(tmp_path / "scan.nii.gz", {2: [place]})
    assert found.shape == (3, *image.shape)
    assert np.unravel_index(int(found[2].argmax()), image.shape) == place
    assert float(found[2][tuple(-1 - at for at in place)]) == pytest.approx(1 / 3, abs=1e-3)  # far away: nothing
    assert np.allclose(segmenter.probabilities(tmp_path / "scan.nii.gz"), 1 / 3, atol=1e-5)
    with pytest.raises(VolumeError, match="clicks: must lie in the image"):
        segmenter.probabilities(tmp_path / "scan.nii.gz", {1: [image.shape]})


def test_slabs_in_millimetres_see_the_spacing_of_the_study(tmp_path):
    """4 mm are two slices of 2 mm: the answer is that of every second slice beside each."""
    network = UNet25D("resnet18_w8", 3, out_channels=2).eval()
    kept = {"intensity": "ct", "spacing_mm": None, "size": 32, "slices": 3, "axis": 2, "step_mm": 4.0}
    kept |= {"backbone": "resnet18_w8", "input_normalisation": "none", "num_classes": 2, "multi_label": False}
    torch.save(with_settings(network.state_dict(), kept), tmp_path / "model.pt")
    scan = (np.random.default_rng(0).random((32, 32, 6)) * 1000 - 500).astype(np.int16)
    nib.save(nib.Nifti1Image(scan, np.diag([-1, -1, 2, 1])), tmp_path / "scan.nii.gz")
    app = AppSettings("caid_cxr", str(bundles.path("caid_cxr")), ["lungs"], "scratch", ["slabs"], {})
    segmenter = Segmenter(app, tmp_path / "model.pt")
    found = segmenter.probabilities(tmp_path / "scan.nii.gz")
    grey = torch.from_numpy((scan.astype(np.float32) + 1000) / 2000)
    for z in range(6):
        slab = grey[..., np.clip([z - 2, z, z + 2], 0, 5)].permute(2, 1, 0)[None]
        with torch.no_grad():
            expected = segmenter.network(slab).softmax(1)[0].transpose(1, 2)
        torch.testing.assert_close(found[..., z].as_tensor(), expected, atol=1e-4, rtol=0)
    assert 0 <= segmenter.flip_disagreement(tmp_path / "scan.nii.gz") <= 1


def _named(names, **more):
    return {**TRAINED, "num_classes": 4, "label_names": dict(enumerate(["background", *names])), **more}


def test_answers_have_the_values_of_the_app_whatever_the_order_in_the_training(tmp_path):
    torch.manual_seed(0)
    network = UNet3D(1, 4, width=4, activation=None)
    with torch.no_grad():
        for name, value in network.named_parameters():  # so that several classes are found
            if name.startswith("head"):
                value.mul_(50 if value.ndim > 1 else 0)
    trained, app = ["lungs", "liver", "spleen"], ["Spleen", "lungs", "liver"]
    torch.save(with_settings(network.state_dict(), _named(trained)), tmp_path / "model.pt")
    values = np.random.default_rng(0).integers(-500, 500, (16, 16, 16)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii.gz")
    bundle, found = "models_genesis_ct", {}
    for labels in (trained, app):
        settings = AppSettings(bundle, str(bundles.path(bundle)), labels, "scratch", ["quick"], {"width": 4})
        segmenter = Segmenter(settings, tmp_path / "model.pt")
        found[labels[0]] = segmenter.label_map(tmp_path / "scan.nii.gz").numpy()
        share = segmenter.probabilities(tmp_path / "scan.nii.gz").numpy()
        np.testing.assert_array_equal(share.argmax(0), found[labels[0]][0])
    before, after = found["lungs"], found["Spleen"]
    assert len(np.unique(before)) > 1
    for name, value in (("spleen", 1), ("lungs", 2), ("liver", 3)):
        np.testing.assert_array_equal(after == value, before == 1 + trained.index(name))


def test_a_click_is_of_the_same_structure_whatever_the_order_in_the_training(tmp_path):
    class Four(Echo):
        guidance = 4

        def forward(self, x):
            return 5 * (x[:, 1:] if x.shape[1] > 1 else x.new_zeros(len(x), 4, *x.shape[2:]))

    network = UNet3D(1, 4, width=4, activation=None, guidance=4)
    torch.save(with_settings(network.state_dict(), _named(["a", "b", "c"], guidance=4)), tmp_path / "model.pt")
    values = (np.arange(16**3) % 999 - 500).reshape(16, 16, 16).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii.gz")
    bundle = "models_genesis_ct"
    app = AppSettings(bundle, str(bundles.path(bundle)), ["c", "a", "b"], "scratch", ["quick", "guided"], {"width": 4})
    segmenter = Segmenter(app, tmp_path / "model.pt")
    assert segmenter.guided and segmenter.network.guidance == 4
    segmenter.network.network = Four()  # answers with the class of each click, as the training numbered it
    places = {1: (3, 3, 3), 2: (8, 8, 8), 3: (12, 12, 12)}
    found = segmenter.probabilities(tmp_path / "scan.nii.gz", {value: [place] for value, place in places.items()})
    for value, place in places.items():
        assert int(found.argmax(0)[place]) == value
