"""The radiograph is the volume's own projection, and its labels say only what the volume holds."""

from dataclasses import replace

import numpy as np
import pytest

from medgenesis.datasets.phantom import LABELS, make_phantom, project_xray
from medgenesis.datasets.phantom.xray import cardiothoracic_ratio, expose, project_organs, xray_labels

VALUE = {name: value for value, name in LABELS.items()}


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(1, 0, shape=(32, 32, 28))


def test_projection_is_the_line_integral(phantom):
    """Ray by ray, voxel by voxel; 0.0227 per mm for water, 1.5 times what exceeds 150 HU."""
    image = project_xray(phantom)
    x_size, y_size, z_size = phantom.image.shape
    assert image.shape == (z_size, x_size) and image.dtype == np.float32
    depth = 358.4 / y_size
    for row in range(0, z_size, 3):
        for column in range(0, x_size, 3):
            total = 0.0
            for y in range(y_size):
                hu = float(phantom.image[column, y, z_size - 1 - row])
                if hu > 150:
                    hu = 150 + 1.5 * (hu - 150)
                total += max(0.0, 0.0227 * (1 + hu / 1000)) * depth
            assert image[row, column] == pytest.approx(total, rel=1e-4, abs=1e-4)


def test_water_block_has_the_closed_form(phantom):
    water = replace(phantom, image=np.zeros_like(phantom.image))
    np.testing.assert_allclose(project_xray(water), 0.0227 * 358.4, rtol=1e-5)


def test_patient_right_is_on_the_left_and_the_head_above(phantom):
    marked = replace(phantom, image=np.full_like(phantom.image, -1000))
    marked.image[:3, 10:20, -3:] = 1000  # right, above
    image = project_xray(marked)
    assert image[0, 0] > 0 and image[-1].max() == 0 and image[:, -1].max() == 0


def test_xray_has_square_pixels_and_uses_its_range(phantom):
    spacing = phantom.spacing_mm
    xray = expose(project_xray(phantom), (spacing[2], spacing[0]), np.random.default_rng(0))
    assert xray.dtype == np.uint8 and xray.shape == (256, 287)
    assert xray.min() == 0 and xray.max() == 255
    again = expose(project_xray(phantom), (spacing[2], spacing[0]), np.random.default_rng(0))
    assert np.array_equal(xray, again)


def test_labels_of_a_drawn_chest(phantom):
    """Lungs 20 voxels wide together, a heart of 9 or 11 between them, then a nodule and left fluid."""
    label = np.zeros(phantom.label.shape, dtype=np.uint8)
    label[5:15, 8:24, 5:25] = VALUE["right_lung"]
    label[15:25, 8:24, 5:25] = VALUE["left_lung"]
    label[11:20, 10:20, 5:12] = VALUE["heart"]
    chest = replace(phantom, label=label)
    assert cardiothoracic_ratio(chest) == pytest.approx(9 / 20)
    assert xray_labels(chest) == {
        "nodule": 0, "cardiomegaly": 0, "cardiothoracic_ratio": 0.45, "left_effusion": 0, "right_effusion": 0
    }  # fmt: skip
    label[11:22, 10:20, 5:12] = VALUE["heart"]
    label[18:25, 20:24, 5:9] = VALUE["pleural_effusion"]
    label[7, 12, 20] = VALUE["nodule"]
    found = xray_labels(chest)
    assert found["cardiomegaly"] == found["nodule"] == found["left_effusion"] == 1 and found["right_effusion"] == 0


def test_population_has_both_answers_of_each_question():
    found = [xray_labels(make_phantom(0, k, shape=(32, 32, 28))) for k in range(24)]
    for name in ("nodule", "cardiomegaly", "left_effusion", "right_effusion"):
        assert 0 < sum(row[name] for row in found) < len(found), name


def test_organs_are_where_the_xray_shows_them(phantom):
    """Pixel by pixel: the organ that a ray through the pixel's centre meets; only at edges may they differ."""
    height, width = phantom.spacing_mm[2], phantom.spacing_mm[0]
    found = project_organs(phantom)
    assert found.shape == expose(project_xray(phantom), (height, width), np.random.default_rng(0)).shape
    x_size, _, z_size = phantom.label.shape
    wanted = np.zeros_like(found)
    for row in range(found.shape[0]):
        z = z_size - 1 - min(int((row + 0.5) * 1.25 / height), z_size - 1)
        for column in range(found.shape[1]):
            x = min(int((column + 0.5) * 1.25 / width), x_size - 1)
            ray = set(phantom.label[x, :, z].tolist())
            lungs = bool(ray & {VALUE["left_lung"], VALUE["right_lung"], VALUE["nodule"]})
            abdomen = bool(ray & {VALUE["liver"], VALUE["spleen"], VALUE["stomach"]})
            wanted[row, column] = 2 if VALUE["heart"] in ray else int(lungs and not abdomen)
    for value in (0, 1, 2):
        both = ((found == value) & (wanted == value)).sum()
        assert 2 * both / ((found == value).sum() + (wanted == value).sum()) > 0.97
