"""2.5D bundles: channels are slices, so an image has one; colours become grey, several channels are refused."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from PIL import Image

from medgenesis.data import preprocessing
from medgenesis.errors import VolumeError

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
CONFIGS = [
    path for name in ("_slabs", "caid_cxr/configs", "adam_cxr/configs") for path in (BUNDLES / name).glob("*.yaml")
]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_every_preprocessing_takes_one_channel(path):
    steps = [
        value
        for value in yaml.safe_load(path.read_text()).values()
        if isinstance(value, dict) and value.get("_target_") == "medgenesis.data.preprocessing"
    ]
    assert all(step.get("in_channels") == 1 for step in steps)


def test_colours_become_grey_and_four_channels_are_refused(tmp_path):
    Image.fromarray(np.full((8, 9, 3), 77, np.uint8)).save(tmp_path / "colour.png")
    nib.save(nib.Nifti1Image(np.ones((5, 5, 5, 4), np.float32), np.eye(4)), tmp_path / "four.nii.gz")
    steps = preprocessing(intensity=None, in_channels=1)
    assert steps({"image": str(tmp_path / "colour.png")})["image"].unique().tolist() == [77]
    with pytest.raises(VolumeError, match="four.nii.gz: must have as many channels .* found 4.* a 2.5D bundle takes 1"):
        steps({"image": str(tmp_path / "four.nii.gz")})
