"""Drawings as files: the same when they are read again, and never half of one."""

import numpy as np
import pytest
from PIL import Image

from medgenesis.report import Report, save_image


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_a_saved_image_is_the_same_and_goes_into_a_report(tmp_path, shape):
    drawn = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    path = save_image(drawn, tmp_path / "new" / "sheet.png")
    assert [entry.name for entry in path.parent.iterdir()] == ["sheet.png"]
    with Image.open(path) as saved:
        np.testing.assert_array_equal(np.asarray(saved), drawn)
    assert "data:image/png" in Report("t").image(drawn, "Patterns").render()


def test_a_format_that_is_not_known_leaves_no_file(tmp_path):
    with pytest.raises((ValueError, OSError)):
        save_image(np.zeros((4, 4), np.uint8), tmp_path / "sheet.nonsense")
    assert not list(tmp_path.iterdir())
