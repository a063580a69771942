"""A model answers with what it was trained with, whatever the app is started with today."""

import nibabel as nib
import numpy as np
import pytest
import torch

from medgenesis import bundles
from medgenesis.label_app.segmenter import Segmenter
from medgenesis.label_app.settings import AppSettings
from medgenesis.networks import UNet3D
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
