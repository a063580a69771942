import numpy as np
import pytest

from medgenesis.errors import VolumeError
from medgenesis.report import flat_image, three_planes
from medgenesis.report.label_overlay import PALETTE, REFERENCE_COLOUR
from medgenesis.report.planes import MARGIN

SHAPE = X, Y, Z = 20, 30, 40  # to the patient's left, back, head


def split(image, shape=SHAPE):
    """The three panels of an image with square voxels, (down, across, 3) each."""
    x, y, z = shape
    panels, left, height = [], 0, max(y, z)
    for across, down in ((x, y), (x, z), (y, z)):
        top = (height - down) // 2
        panels.append(image[top : top + down, left + MARGIN : left + MARGIN + across])
        left += MARGIN + across
    assert image.shape == (height, left + MARGIN, 3)
    return panels


def where(panel, colour):
    return sorted(map(tuple, np.argwhere((panel == colour).all(-1)).tolist()))


@pytest.mark.parametrize("corner", list(np.ndindex(2, 2, 2)))
def test_each_corner_of_the_body_is_shown_where_a_radiologist_looks_for_it(corner):
    at = tuple(c * (n - 1) for c, n in zip(corner, SHAPE, strict=True))
    volume, label = np.zeros(SHAPE), np.zeros(SHAPE, np.uint8)
    volume[at] = label[at] = 1  # a label on the voxel draws the slices through it
    axial, coronal, sagittal = split(three_planes(volume, label))
    left, back, head = corner
    across = X - 1 if left else 0  # the patient's left at the image's right
    assert where(axial, PALETTE[0]) == [(Y - 1 if back else 0, across)]
    assert where(coronal, PALETTE[0]) == [(0 if head else Z - 1, across)]
    assert where(sagittal, PALETTE[0]) == [(0 if head else Z - 1, Y - 1 if back else 0)]


def test_without_a_label_the_middle_is_shown():
    volume = np.zeros(SHAPE)
    volume[3, 5, Z // 2] = volume[4, Y // 2, 7] = volume[X // 2, 8, 9] = 1
    axial, coronal, sagittal = split(three_planes(volume))
    white = (255, 255, 255)
    assert where(axial, white) == [(5, 3)]
    assert where(coronal, white) == [(Z - 1 - 7, 4)]
    assert where(sagittal, white) == [(Z - 1 - 9, 8)]


def test_the_slices_go_through_the_centroid():
    volume, label = np.zeros(SHAPE), np.zeros(SHAPE, int)
    label[2:5, 10:17, 20:31] = 3
    volume[3, 13, 25] = 1
    assert np.argwhere(label).mean(0).tolist() == [3, 13, 25]
    for maps in ({"label": label}, {"reference": label}, {"label": 0 * label, "reference": label}):
        axial, coronal, sagittal = split(three_planes(volume, **maps))
        assert axial[13, 3].min() > 150 and coronal[Z - 1 - 25, 3].min() > 150 and sagittal[Z - 1 - 25, 13].min() > 150


def test_pixels_are_square_in_mm():
    volume = np.zeros((8, 12, 5))
    image = three_planes(volume, np.ones(volume.shape, int), spacing_mm=(1.0, 0.5, 3.0))
    widths, heights = (16, 16, 12), (12, 30, 30)
    colour = (image != image[..., :1]).any(-1)  # the label fills every panel; margins and letters are grey
    assert image.shape == (30, sum(widths) + 4 * MARGIN, 3)
    left = 0
    for width, height in zip(widths, heights, strict=True):
        left += MARGIN
        rows = colour[:, left : left + width]
        assert rows.any(1).sum() == height and rows.any(0).sum() == width and not colour[:, left - MARGIN : left].any()
        left += width


def test_a_reference_is_drawn_in_its_own_colour_around_the_label():
    volume, label = np.full(SHAPE, 0.5), np.zeros(SHAPE, int)
    label[8:13, 10:20, 15:25] = 1
    plain, both = split(three_planes(volume, label)), split(three_planes(volume, label, label.astype(bool)))
    for before, after, (across, down) in zip(plain, both, ((5, 10), (5, 10), (10, 10)), strict=True):
        assert len(where(after, REFERENCE_COLOUR)) == 2 * (across + down) and not where(before, REFERENCE_COLOUR)
        assert where(after, PALETTE[0]) == where(before, PALETTE[0])


def test_a_label_is_never_blended_between_values():
    label = np.zeros((6, 6, 3), np.float32)
    label[2:4, 2:4], label[4:, 4:] = 1, 3
    image = three_planes(np.zeros(label.shape), label, spacing_mm=(1, 1, 4))
    tints = {tuple(c) for c in image.reshape(-1, 3).tolist() if len(set(c)) > 1}
    allowed = [PALETTE[0], PALETTE[2]]
    allowed += [tuple(np.round(0.35 * np.array(c)).astype(int).tolist()) for c in allowed]
    assert tints <= set(allowed)


@pytest.mark.parametrize(
    ("volume", "settings", "says"),
    [
        (np.zeros((1, 4, 4, 4)), {}, "volume"),
        (np.zeros((0, 4, 4)), {}, "volume"),
        (np.zeros((4, 4, 4)), {"label": np.zeros((4, 4, 5))}, "label"),
        (np.zeros((4, 4, 4)), {"reference": np.zeros((4, 4))}, "reference"),
        (np.zeros((4, 4, 4)), {"spacing_mm": (1, 0, 1)}, "spacing_mm"),
    ],
)
def test_what_does_not_fit_is_refused(volume, settings, says):
    with pytest.raises(VolumeError, match=says):
        three_planes(volume, **settings)


def test_the_longest_side_has_so_many_pixels_and_each_plane_says_its_slice():
    volume = np.zeros((8, 12, 5))
    plain = three_planes(volume, spacing_mm=(1.0, 0.5, 3.0), longest=60)
    assert plain.shape == (60, 32 + 32 + 24 + 4 * MARGIN, 3)
    told = three_planes(volume, spacing_mm=(1.0, 0.5, 3.0), longest=60, positions=True)
    assert np.array_equal(told[:60], plain) and (told[60:] > 150).any()


def test_an_image_is_drawn_as_it_is_looked_at():
    image, label = np.zeros((6, 4)), np.zeros((6, 4), int)
    image[5, 1], label[0, 3] = 1, 1
    drawing = flat_image(image, label)
    assert drawing.shape == (4, 6, 3) and drawing[1, 5].tolist() == [255] * 3
    assert drawing[3, 0].tolist() == list(PALETTE[0])
    assert flat_image(image, longest=12).shape == (8, 12, 3)
    assert (flat_image(image, reference=label) == REFERENCE_COLOUR).all(-1).sum() == 2
