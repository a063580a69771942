"""Features of studies that come over a network: what fails once is tried again, what cannot be read is not."""

import nibabel as nib
import numpy as np

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
