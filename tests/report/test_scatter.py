"""The map of features: projection beside an eigendecomposition, marks where they belong, in their group's colour."""

import numpy as np
import pytest
from scipy import ndimage

from medgenesis.report.label_overlay import PALETTE
from medgenesis.report.scatter import draw_feature_map, project


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 6)) * [5, 3, 1, 1, 1, 0.1] @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 7


def test_the_projection_is_that_of_the_covariance_s_eigenvectors(vectors):
    points, shares = project(vectors)
    values, directions = np.linalg.eigh(np.cov(vectors.T))
    expected = (vectors - vectors.mean(axis=0)) @ directions[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(shares, values[[-1, -2]] / values.sum())
    np.testing.assert_array_equal(project(vectors)[0], points)


def places(image, colour, region):
    """Centres (x, y) of the connected pieces of nearly a colour, as marks of 8 pixels are."""
    near = (np.abs(image.astype(int) - colour).max(axis=2) < 40) & region
    pieces, count = ndimage.label(near)
    return [np.array(ndimage.center_of_mass(pieces == i + 1))[::-1] for i in range(count)]


def test_marks_lie_as_the_projection_does_on_equal_scales(vectors):
    """Four far apart in two groups: their distances in the image are in proportion to those projected."""
    corners = np.zeros((4, 3))
    corners[:, :2] = [(-30, -10), (30, -10), (30, 10), (-28, 12)]
    image = draw_feature_map(corners, ["a", "a", "b", "b"])
    inside = np.zeros(image.shape[:2], bool)
    inside[20:520, 20:515] = True
    found = [places(image, colour, inside) for colour in PALETTE[:2]]
    assert [len(group) for group in found] == [2, 2]
    points = project(corners)[0] * (1, -1)
    drawn = sorted(map(tuple, np.concatenate(found)))
    expected = sorted(map(tuple, points))
    scale = np.ptp([x for x, _ in drawn]) / np.ptp([x for x, _ in expected])
    drawn, expected = np.array(drawn), np.array(expected) * scale
    np.testing.assert_allclose(drawn - drawn[0], expected - expected[0], atol=1.5)


def test_thirty_groups_have_marks_of_their_own():
    """In the legend, whose lines differ in the mark alone."""
    vectors = np.random.default_rng(0).normal(size=(30, 4))
    image = draw_feature_map(vectors, [chr(65 + i // 10) + chr(48 + i % 10) for i in range(30)])
    assert image.dtype == np.uint8 and image.shape[2] == 3
    marks = [image[28 + 18 * i : 28 + 18 * (i + 1), 528:544] for i in range(30)]
    assert all((mark < 200).any() for mark in marks)
    assert len({mark.tobytes() for mark in marks}) == 30
    assert image.shape[0] > 28 + 18 * 30  # all of them fit


def test_without_groups_all_marks_are_alike(vectors):
    image = draw_feature_map(vectors)
    coloured = image.max(axis=2).astype(int) - image.min(axis=2) > 60
    assert coloured.any()
    for colour in PALETTE[1:]:
        assert not (np.abs(image.astype(int) - colour).max(axis=2) < 10).any()


@pytest.mark.parametrize(
    "bad", [np.zeros((1, 5)), np.zeros((5, 1)), np.zeros(5), np.full((4, 4), np.nan), np.ones((4, 4)), np.zeros((0, 3))]
)
def test_vectors_that_have_no_map(bad):
    with pytest.raises(ValueError, match="vectors"):
        draw_feature_map(bad)


def test_two_volumes_have_one():
    assert draw_feature_map(np.array([[0.0, 1.0], [2.0, 5.0]]), ["a", "b"]).shape[2] == 3


def test_groups_must_fit(vectors):
    with pytest.raises(ValueError, match="groups"):
        draw_feature_map(vectors, ["a"] * 19)
    many = np.random.default_rng(0).normal(size=(31, 4))
    with pytest.raises(ValueError, match="31 kinds"):
        draw_feature_map(many, range(31))
