"""The bricks of the thorax against closed forms: shapes, coordinates, trees, thin tubes."""

import numpy as np
import pytest

from medgenesis.datasets.phantom.canvas import Canvas
from medgenesis.datasets.phantom.shapes import FAR_MM, ellipsoid, segment, smooth_union, tube
from medgenesis.datasets.phantom.skeleton import vertebra_height, vertebra_level
from medgenesis.datasets.phantom.space import Grid, Space
from medgenesis.datasets.phantom.subject import draw_subject
from medgenesis.datasets.phantom.trees import Branches, grow


@pytest.fixture(scope="module")
def grid():
    return Grid.of(draw_subject(0, 0), (40, 36, 32))


def points(count=200, scale=80.0):
    return np.random.default_rng(0).uniform(-scale, scale, (count, 3))


def space(values):
    return Space(*values.astype(np.float32).T)


def test_coordinates_go_there_and_back(grid):
    there = grid.warp.to_patient(points())
    back = np.stack(grid.warp.to_template(*there.T), -1)
    np.testing.assert_allclose(back, points(), atol=1e-3)
    assert np.abs(there - points()).max() > 3  # the warp does something


def test_voxels_of_points_are_those_whose_coordinates_they_have(grid):
    index = np.array([(3, 5, 7), (20, 18, 16), (39, 0, 31)])
    template = np.stack([np.broadcast_to(c, grid.shape)[tuple(index.T)] for c in (grid.x, grid.y, grid.z)], -1)
    np.testing.assert_allclose(grid.voxels(template), index, atol=1e-3)


def test_a_window_holds_the_box_and_knows_its_place(grid):
    low, high = np.array((-40, -30, -50)), np.array((30, 50, 20))
    where, part = grid.window(low, high)
    full = [np.broadcast_to(c, grid.shape) for c in (grid.x, grid.y, grid.z)]
    inside = np.logical_and.reduce([(c >= a) & (c <= b) for c, a, b in zip(full, low, high, strict=True)])
    assert inside.any() and inside[where].sum() == inside.sum()
    assert part.shape == inside[where].shape != grid.shape
    corner = np.array([[part.x[0, 0, 0], part.y[0, 0, 0], part.z[0, 0, 0]]])
    np.testing.assert_allclose(part.voxels(corner), 0, atol=1e-3)
    assert 0 in grid.window((500, 500, 500), (600, 600, 600))[1].shape


def test_sphere_and_tube_distances_are_euclidean():
    p = points()
    radius = np.linalg.norm(p - (5, -3, 2), axis=1)
    np.testing.assert_allclose(ellipsoid(space(p), (5, -3, 2), (20, 20, 20), (1, 1, 0.5)), radius - 20, atol=1e-2)
    a, b = np.array((0.0, 0, -30)), np.array((10.0, 20, 40))
    dense = a + np.linspace(0, 1, 4001)[:, None] * (b - a)
    nearest = np.linalg.norm(p[:, None] - dense, axis=2).min(1)
    np.testing.assert_allclose(segment(space(p), a, b, (4, 4)), nearest - 4, atol=1e-2)
    np.testing.assert_allclose(tube(space(p), [(*a, 4), (*b, 4)]), np.minimum(nearest - 4, FAR_MM), atol=1e-2)


def test_smooth_union_only_adds_near_both():
    a, b = np.array([0.0, 10, -3], dtype=np.float32), np.array([0.0, -5, -3.0], dtype=np.float32)
    np.testing.assert_allclose(smooth_union(a, b, 8), [-2, -5, -5])


def test_vertebrae():
    levels = np.linspace(-2, 15, 50)
    np.testing.assert_allclose(vertebra_level(vertebra_height(levels)), levels, atol=1e-9)


def test_tree_reaches_every_target_and_never_widens():
    targets = points(300, 50)
    tree = grow(np.array((0.0, 0, 90)), 8.0, targets)
    assert (tree.far_mm <= tree.near_mm + 1e-9).all() and tree.near_mm[0] == 8
    assert len(tree.ends) == 2 * len(targets) - 1  # a binary tree with a leaf a target
    leaves = np.isclose(tree.far_mm, 8 * (1 / 300) ** (1 / 3))
    assert leaves.sum() == 300
    starts = {tuple(np.round(p, 6)) for p in tree.ends[1:, 0]}
    assert starts <= {tuple(np.round(p, 6)) for p in tree.ends[:, 1]}  # connected
    # a leaf goes 85 % of the way from its start to a target
    goals = tree.ends[leaves, 0] + (tree.ends[leaves, 1] - tree.ends[leaves, 0]) / 0.85
    np.testing.assert_allclose(np.sort(goals, 0), np.sort(targets, 0), atol=1e-6)


@pytest.mark.parametrize("radius", [0.5, 1.5, 4.0, 7.0])
def test_thin_tubes_keep_their_volume(radius):
    subject = draw_subject(0, 0)
    grid = Grid.of(subject, (128, 128, 128))
    a, b = np.array((-40.0, -30, -50)), np.array((50.0, 20, 60))
    canvas = Canvas(grid)
    share = canvas.thin_tubes([Branches(np.stack([a, b])[None], np.array([radius]), np.array([radius]))])
    ends = grid.warp.to_patient(np.stack([a, b]))
    length = np.linalg.norm(ends[1] - ends[0])
    expected = np.pi * radius**2 * length + (4 / 3 * np.pi * radius**3 if radius > 2 else 0)
    assert share.sum() * np.prod(grid.spacing_mm) == pytest.approx(expected, rel=0.15)
    assert share.max() <= 1
