import numpy as np
import pytest

from medgenesis.errors import IntensityRangeError, VolumeError
from medgenesis.report import display_range, overlay
from medgenesis.report.label_overlay import PALETTE, REFERENCE_COLOUR, contour_around

RNG = np.random.default_rng(5)


def image_and_label(shape=(20, 30)):
    label = np.zeros(shape, np.uint8)
    label[3:9, 4:12], label[9:15, 4:12], label[16:, 20:] = 1, 2, 9
    return RNG.random(shape), label


def edges_by_hand(label, differs):
    """Pixels of which some neighbour `differs(neighbour, own)`, one pixel at a time."""
    found = np.zeros(label.shape, bool)
    for r, c in np.ndindex(label.shape):
        for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            if 0 <= r + dr < label.shape[0] and 0 <= c + dc < label.shape[1]:
                found[r, c] |= differs(int(label[r + dr, c + dc]), int(label[r, c]))
    return found


@pytest.mark.parametrize("outline", [True, False])
def test_only_labelled_pixels_change(outline):
    image, label = image_and_label()
    before = image.copy(), label.copy()
    drawing = overlay(image, label, outline=outline)
    grey = np.repeat(np.round(image * 255).astype(np.uint8)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(drawing[label == 0], grey[label == 0])
    assert (drawing[label > 0] != grey[label > 0]).any(axis=-1).all()
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])


def test_the_fill_blends_and_the_outline_is_the_colour():
    image, label = image_and_label()
    colours = [(255, 0, 0), (0, 255, 0), (10, 20, 30)]
    drawing = overlay(image, label, colours, opacity=0.25)
    edge = edges_by_hand(label, lambda neighbour, own: own > 0 and neighbour != own)
    for value, colour in ((1, colours[0]), (2, colours[1]), (9, colours[2])):  # 9 is the third again
        assert (drawing[edge & (label == value)] == colour).all()
        inner = ~edge & (label == value)
        expected = 0.75 * 255 * image[inner][:, None] + 0.25 * np.array(colour)
        np.testing.assert_allclose(drawing[inner], expected, atol=0.51)


def test_a_contour_surrounds_its_label_and_hides_none_of_an_equal_one():
    image, label = image_and_label()
    drawing = overlay(image, label)
    drawn = contour_around(drawing, label)
    changed = (drawn != drawing).any(-1)
    around = edges_by_hand(label, lambda neighbour, own: neighbour > own)
    assert (drawn[around] == REFERENCE_COLOUR).all() and not changed[~around].any()
    assert (label == 0)[around].sum() > 0


def test_no_label_leaves_the_grey_image():
    image = np.array([[0.0, 0.5, 1.0]])
    expected = [[[0] * 3, [128] * 3, [255] * 3]]
    np.testing.assert_array_equal(overlay(image, np.zeros((1, 3), bool)), expected)


def test_the_palette_is_told_apart_in_luminance_from_the_reference():
    light = [np.dot((0.2126, 0.7152, 0.0722), (np.array(c) / 255) ** 2.2) for c in PALETTE]
    reference = np.dot((0.2126, 0.7152, 0.0722), (np.array(REFERENCE_COLOUR) / 255) ** 2.2)
    assert reference > 1.5 * max(light)


@pytest.mark.parametrize("bad", [np.full((3, 3), -1000.0), np.full((3, 3), 1.01), np.full((3, 3), np.nan)])
def test_intensities_outside_0_1_are_refused(bad):
    with pytest.raises(IntensityRangeError, match=r"\[0, 1\]"):
        overlay(bad, np.zeros((3, 3)))


def test_another_grid_is_refused():
    with pytest.raises(VolumeError, match="shape"):
        overlay(np.zeros((3, 4)), np.zeros((4, 3)))


def test_what_leaves_the_range_is_shown_from_its_percentiles():
    inside = np.linspace(0, 1.0005, 50)  # as scaling rounds
    np.testing.assert_array_equal(display_range(inside), inside.clip(0, 1))
    scores = np.random.default_rng(0).normal(size=(10, 20, 30))
    low, high = np.quantile(scores, 0.005), np.quantile(scores, 0.995)
    np.testing.assert_allclose(display_range(scores), np.clip((scores - low) / (high - low), 0, 1), atol=1e-12)
    assert not display_range(np.full((4, 4), -3.0)).any()
