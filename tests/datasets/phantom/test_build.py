"""The computed thorax: same numbers from the same seed, and the anatomy that every chest has."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import label as components

from medgenesis.datasets.phantom import LABELS, make_phantom
from medgenesis.errors import VolumeError

SHAPE = (64, 64, 56)
VALUE = {name: value for value, name in LABELS.items()}


@pytest.fixture(scope="module")
def population():
    return [make_phantom(seed, 2, shape=SHAPE) for seed in range(20)]


def mask(phantom, *names):
    return np.isin(phantom.label, [VALUE[name] for name in names])


def centre(phantom, name):
    return np.argwhere(mask(phantom, name)).mean(0) * phantom.spacing_mm


def litres(phantom, *names):
    return mask(phantom, *names).sum() * np.prod(phantom.spacing_mm) / 1e6


def test_same_seed_same_voxels():
    first, again, other = (
        make_phantom(5, 1, shape=SHAPE),
        make_phantom(5, 1, shape=SHAPE),
        make_phantom(5, 2, shape=SHAPE),
    )
    assert np.array_equal(first.image, again.image) and np.array_equal(first.label, again.label)
    assert np.array_equal(first.affine, again.affine) and first.nodules == again.nodules
    assert not np.array_equal(first.label, other.label)


def test_subjects_do_not_depend_on_each_other_or_on_the_global_generator():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    forward = [make_phantom(9, k, shape=(32, 32, 28)).image for k in (0, 1, 2)]
    backward = [make_phantom(9, k, shape=(32, 32, 28)).image for k in (2, 1, 0)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_types_and_geometry(population):
    for phantom in population:
        assert phantom.image.dtype == np.int16 and phantom.label.dtype == np.uint8
        assert phantom.image.shape == phantom.label.shape == SHAPE
        assert nib.aff2axcodes(phantom.affine) == ("L", "P", "S")
        np.testing.assert_allclose(np.multiply(SHAPE, phantom.spacing_mm), (358.4, 358.4, 320.0))
    assert len({tuple(p.affine[:3, 3]) for p in population}) == len(population)


def test_densities(population):
    for phantom in population:
        hu = {name: phantom.image[mask(phantom, name)].mean() for name in VALUE if mask(phantom, name).any()}
        assert -900 < hu["left_lung"] < -700 and -900 < hu["right_lung"] < -700
        assert 40 < hu["liver"] < 70 and 20 < hu["heart"] < 60
        assert hu["ribs"] > 150 and hu["spine"] > 150
        corner = phantom.image[:4, :4]
        assert abs(corner.mean() + 1000) < 12 and 3 < corner.std() < 60


def test_volumes_are_human(population):
    for phantom in population:
        left, right = litres(phantom, "left_lung"), litres(phantom, "right_lung")
        assert 1.2 < left < 4 and 1.2 < right < 4
        assert 0.35 < litres(phantom, "heart") < 1.2
        assert 0.6 < litres(phantom, "liver") < 2.0  # the field ends within the liver
        if not mask(phantom, "pleural_effusion").any():
            assert left < right


def test_organs_lie_where_they_belong(population):
    for phantom in population:
        spine, heart, liver = (centre(phantom, name) for name in ("spine", "heart", "liver"))
        left, right = centre(phantom, "left_lung"), centre(phantom, "right_lung")
        assert right[0] < spine[0] < left[0]
        assert heart[0] > spine[0] + 3  # left of the midline
        assert liver[0] < spine[0] and liver[2] < right[2] - 60
        assert spine[1] > heart[1] + 50  # behind
        assert centre(phantom, "sternum")[1] < heart[1]
        assert centre(phantom, "spleen")[0] > spine[0] and centre(phantom, "stomach")[0] > spine[0]
        tops = [np.argwhere(mask(phantom, n))[:, 2].max() for n in ("liver", "left_lung")]
        assert tops[0] < tops[1]


def test_right_dome_is_the_higher(population):
    left, right = (np.mean([_floor_mm(p, side) for p in population]) for side in ("left_lung", "right_lung"))
    assert 3 < right - left < 25


def _floor_mm(phantom, side):
    """Lower end of a lung at the middle of its depth, two thirds of its width from the midline."""
    lung = mask(phantom, side)
    first, last = np.flatnonzero(lung.any((1, 2)))[[0, -1]]
    x = round(first + (last - first) * (2 / 3 if side == "left_lung" else 1 / 3))
    y = round(np.argwhere(lung)[:, 1].mean())
    return lung[x, y].argmax() * phantom.spacing_mm[2]


def test_each_lung_is_one_piece_inside_the_body(population):
    for phantom in population:
        for side in ("left_lung", "right_lung"):
            lung = mask(phantom, side)
            pieces, _ = components(lung)
            assert np.bincount(pieces.ravel())[1:].max() > 0.995 * lung.sum()
        assert not phantom.label[[0, -1]].any() and not phantom.label[:, [0, -1]].any()
        air, _ = components(phantom.image < -700)
        outside = air == air[0, 0, 0]
        labelled = phantom.label > 0
        assert (outside & labelled).sum() < 0.002 * labelled.sum()


def test_subjects_resemble_each_other_but_differ(population):
    lungs = [mask(p, "left_lung", "right_lung") for p in population]
    for a, b in zip(lungs[:-1], lungs[1:], strict=True):
        dice = 2 * (a & b).sum() / (a.sum() + b.sum())
        assert 0.6 < dice < 0.99


def test_a_coarser_grid_shows_the_same_subject():
    fine, coarse = make_phantom(3, 0, shape=(96, 96, 80)), make_phantom(3, 0, shape=(48, 48, 40))
    for name in ("left_lung", "right_lung", "heart", "liver"):
        assert litres(coarse, name) == pytest.approx(litres(fine, name), rel=0.05)
    blocks = mask(fine, "liver").reshape(48, 2, 48, 2, 40, 2).mean((1, 3, 5)) > 0.5
    other = mask(coarse, "liver")
    assert 2 * (blocks & other).sum() / (blocks.sum() + other.sum()) > 0.93
    assert [n.diameter_mm for n in fine.nodules] == [n.diameter_mm for n in coarse.nodules]


def test_nodules_stand_where_the_record_says():
    phantoms = [make_phantom(seed, 0, shape=(80, 80, 80)) for seed in range(3)]
    assert {len(p.nodules) for p in phantoms} != {0}
    for phantom in phantoms:
        _, count = components(mask(phantom, "nodule"))
        assert count == len(phantom.nodules)
        for nodule in phantom.nodules:
            voxel = np.linalg.solve(phantom.affine, (*nodule.centre_mm, 1))[:3]
            i, j, k = np.rint(voxel).astype(int)
            assert phantom.label[i, j, k] == VALUE["nodule"]
            assert phantom.image[i, j, k] > -450


def test_nodule_volume_is_that_of_its_diameter():
    phantom = next(p for p in (make_phantom(s, 0, shape=(80, 80, 80)) for s in range(8)) if len(p.nodules) == 1)
    expected = np.pi / 6 * phantom.nodules[0].diameter_mm ** 3 / 1e6
    assert litres(phantom, "nodule") == pytest.approx(expected, rel=0.35)


@pytest.mark.parametrize("shape", [(8, 48, 48), (48, 48), (0, 0, 0)])
def test_a_shape_that_cannot_hold_a_thorax_is_refused(shape):
    with pytest.raises(VolumeError, match="shape"):
        make_phantom(0, shape=shape)
