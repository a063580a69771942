"""Features of studies that come over a network: what fails once is tried again, what cannot be read is not."""

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from medgenesis import bundles
from medgenesis.errors import VolumeError
from medgenesis.label_app.features import StudyFeatures
from medgenesis.label_app.settings import AppSettings


def _settings():
    return AppSettings(
        "models_genesis_ct", str(bundles.path("models_genesis_ct")), ["liver"], settings={"cube_size": [16, 16, 16]}
    )


def test_only_what_cannot_be_read_is_not_tried_again(tmp_path):
    path = tmp_path / "a.nii.gz"
    values = np.random.default_rng(0).integers(-900, 900, (32, 32, 32)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    features, asked = StudyFeatures(_settings(), tmp_path / "app"), []

    def file_of(name):
        asked.append(name)
        if name == "broken":
            raise VolumeError("broken: must be a volume; found none. Replace it.")
        if asked.count(name) == 1:
            raise ConnectionError("no connection")
        return str(path)

    assert features.of(["away", "broken"], file_of) == {}
    assert list(features.of(["away", "broken"], file_of)) == ["away"]
    assert asked == ["away", "broken", "away"]


@pytest.mark.parametrize("bundle", ["caid_cxr", "adam_cxr"])
def test_a_radiograph_has_the_mean_of_its_last_feature_map(tmp_path, bundle):
    """The bundles of slices have an inferer, and no cube size."""
    values = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    settings = AppSettings(bundle, str(bundles.path(bundle)), ["heart"], overlays=["quick"], settings={"size": 32})
    features = StudyFeatures(settings, tmp_path / "app")
    found = features.of(["a"], lambda _: str(tmp_path / "a.png"))["a"]
    parts = features._loaded()
    image = torch.as_tensor(parts["preprocessing"]({"image": str(tmp_path / "a.png")})["image"])
    network = parts["network"].eval()  # answers a slab by the mean of its last feature map
    with torch.no_grad():
        expected = network(image.mT[None].expand(1, network.slices, -1, -1))[0]  # rows first, as it is shown
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)
