"""Clicks of a viewer: given to a network that was trained with them, and obeyed in any case."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from medgenesis.errors import VolumeError
from medgenesis.label_app.click_task import ClickTask, clicks_of
from medgenesis.label_app.settings import AppSettings

CLASSES = {"lungs": 1, "liver": 2}


def test_a_guided_network_answers_with_the_clicks_and_a_clicked_voxel_has_its_class(tmp_path):
    asked = []

    def probabilities(image, clicks=None):
        asked.append(clicks)
        found = torch.zeros(3, 6, 5, 4)
        found[1, 3:], found[0, :3] = 1, 1
        return MetaTensor(found, affine=torch.eye(4))

    settings = AppSettings("models_genesis_ct", str(tmp_path), list(CLASSES))
    task = ClickTask.__new__(ClickTask)
    task.settings = settings
    segmenter = SimpleNamespace(guided=True, probabilities=probabilities)
    found = task.answer(segmenter, "scan.nii.gz", {"liver": [[0, 1, 2]], "background": [[5, 0, 0]]})
    assert asked == [{0: [[5.0, 0.0, 0.0]], 1: [], 2: [[0.0, 1.0, 2.0]]}]
    expected = np.zeros((1, 6, 5, 4), np.uint8)
    expected[0, 3:], expected[0, 0, 1, 2], expected[0, 5, 0, 0] = 1, 2, 0
    np.testing.assert_array_equal(found.numpy(), expected)


def test_other_things_than_lists_of_voxels_are_refused():
    assert clicks_of({"lungs": [(1, 2, 3)]}, CLASSES) == {0: [], 1: [[1.0, 2.0, 3.0]], 2: []}
    for places in ("here", [1, 2, 3], [["a", 0, 0]]):
        with pytest.raises(VolumeError, match="liver: clicks must be lists of voxels"):
            clicks_of({"liver": places}, CLASSES)
