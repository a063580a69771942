"""Landmarks lie where the phantom's own label map, and its own X-ray, show them."""

from dataclasses import replace

import numpy as np
import pytest

from medgenesis.data.landmarks import read_landmarks
from medgenesis.datasets.phantom import LABELS, make_phantom, project_xray, write_phantoms, xray_landmarks
from medgenesis.datasets.phantom.landmarks import EXTREMES, TEMPLATE_MM
from medgenesis.datasets.phantom.xray import expose

VALUE = {name: value for value, name in LABELS.items()}


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(4, 1, shape=(64, 32, 56))


def test_a_marker_in_the_volume_shows_on_the_xray_at_its_landmark(phantom):
    """The heart is one block of metal: on the X-ray, the white pixels are where the landmark says."""
    marked = replace(phantom, image=np.full_like(phantom.image, -1000), label=np.zeros_like(phantom.label))
    marked.image[18:24, :, 38:44] = 3000
    marked.label[18:24, 5, 38:44] = VALUE["heart"]
    xray = expose(project_xray(marked), (phantom.spacing_mm[2], phantom.spacing_mm[0]), np.random.default_rng(0))
    rows, columns = np.nonzero(xray > 200)
    x, y = xray_landmarks(marked)["heart_apex"]  # of a block, its corner to the left and below: 2.5 voxels off
    voxel = 5.6 / 1.25, 5.714 / 1.25
    assert x - 2.5 * voxel[0] == pytest.approx(columns.mean(), abs=0.6)
    assert y - 2.5 * voxel[1] == pytest.approx(rows.mean(), abs=0.6)


def test_template_points_do_not_depend_on_the_grid_and_organs_hardly(phantom):
    coarse, fine = xray_landmarks(phantom), xray_landmarks(make_phantom(4, 1, shape=(96, 32, 84)))
    assert set(coarse) == set(fine) == set(TEMPLATE_MM) | set(EXTREMES)
    for name, place in coarse.items():
        assert place == pytest.approx(fine[name], abs=0.2 if name in TEMPLATE_MM else 16), name


def test_template_points_lie_in_their_organs(phantom):
    sides, spacing = np.array(phantom.label.shape), np.array(phantom.spacing_mm)
    pixels = np.round(sides * spacing / 1.25)
    for name, organ in {
        "right_clavicle": "clavicles", "left_clavicle": "clavicles", "carina": "airways", "vertebra_T8": "spine",
        "aortic_arch": "aorta",
    }.items():  # fmt: skip
        x, y = xray_landmarks(phantom)[name]
        column = round((x + 0.5) * sides[0] / pixels[0] - 0.5)
        row = sides[2] - 1 - round((y + 0.5) * sides[2] / pixels[2] - 0.5)
        near = phantom.label[column - 1 : column + 2, :, row - 1 : row + 2]
        assert (near == VALUE[organ]).any(), name


def test_extremes_by_a_loop_over_all_pixels(phantom):
    label = phantom.label
    found = xray_landmarks(phantom)
    lung = np.argwhere(np.isin(label, [VALUE["left_lung"], VALUE["pleural_effusion"]]))
    reach = [x * phantom.spacing_mm[0] - z * phantom.spacing_mm[2] for x, _, z in lung]
    best = {(x, z) for (x, _, z), value in zip(lung.tolist(), reach, strict=True) if value > max(reach) - 1e-6}
    x, z = np.mean(list(best), axis=0)
    assert found["left_costophrenic_angle"][0] == pytest.approx((x + 0.5) * 287 / 64 - 0.5)
    assert found["left_costophrenic_angle"][1] == pytest.approx((56 - z - 0.5) * 256 / 56 - 0.5)
    assert found["right_diaphragm"][1] == pytest.approx(
        (56 - np.argwhere(label == VALUE["liver"])[:, 2].max() - 0.5) * 256 / 56 - 0.5
    )
    assert found["right_clavicle"][0] < found["carina"][0] < found["left_clavicle"][0]  # the patient's right is left
    assert found["right_apex"][1] < found["carina"][1] < found["right_diaphragm"][1]


def test_what_is_not_there_is_left_out(phantom):
    label = phantom.label.copy()
    label[label == VALUE["heart"]] = 0
    assert "heart_apex" not in xray_landmarks(replace(phantom, label=label))
    away = replace(phantom, subject=replace(phantom.subject, shift_mm=(0.0, 0.0, 90.0)))
    found = xray_landmarks(away)
    assert "right_clavicle" not in found and "vertebra_T12" in found


def test_a_folder_of_phantoms_has_the_table(tmp_path):
    write_phantoms(tmp_path / "set", 2, 4, shape=(32, 32, 28))
    table = read_landmarks(tmp_path / "set" / "xray_landmarks.csv")
    assert list(table) == ["xrays/phantom_000.png", "xrays/phantom_001.png"]
    wanted = xray_landmarks(make_phantom(4, 1, shape=(32, 32, 28)))
    assert table["xrays/phantom_001.png"] == {name: pytest.approx(place, abs=0.006) for name, place in wanted.items()}
