"""Boxes against a reference implementation, resizing against Pillow, affines against MONAI."""

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Resize, SpatialCrop
from PIL import Image
from scipy import stats

from medgenesis.transforms.functional.crops import draw_boxes, move_affine, resized_crops

SCALE, RATIO = (0.2, 1.0), (3 / 4, 4 / 3)
AFFINE = np.array([[2.0, 0.3, 0, 5], [0, 3, 0, 6], [-0.2, 0, 4, 7], [0, 0, 0, 1]])


def box_by_the_book(rng, height, width, scale=SCALE, ratio=RATIO):
    """Top, left, height, width, by the loop that the published programs call."""
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w
    h, w = height, width
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return (height - h) // 2, (width - w) // 2, h, w


def boxes(count, shape, scale=SCALE, ratio=RATIO, seed=0):
    rng = np.random.RandomState(seed)
    starts, sides = draw_boxes(
        rng.random((count, 10, len(shape))), rng.random((count, len(shape))), np.array(shape), scale, ratio
    )
    assert (sides >= 1).all() and (starts >= 0).all() and (starts + sides <= shape).all()
    return starts, sides


@pytest.mark.parametrize("shape", [(256, 256), (300, 180), (90, 400)])
def test_areas_aspects_and_places_are_distributed_as_a_slow_twin_draws_them(shape):
    rng = np.random.default_rng(1)
    book = np.array([box_by_the_book(rng, *shape) for _ in range(10_000)])
    starts, sides = boxes(10_000, shape)
    ours = np.concatenate([starts, sides], axis=1)
    measures = {
        "area": lambda b: b[:, 2] * b[:, 3],
        "aspect": lambda b: b[:, 3] / b[:, 2],
        "place": lambda b: b[:, 0] / np.maximum(1, shape[0] - b[:, 2]),
        "left": lambda b: b[:, 1],
    }
    for name, measure in measures.items():
        assert stats.ks_2samp(measure(book), measure(ours)).pvalue > 1e-3, name
    largest = [(b[:, 2] * b[:, 3] == (book[:, 2] * book[:, 3]).max()).mean() for b in (book, ours)]
    assert abs(largest[0] - largest[1]) < 4.5 * math.sqrt(0.5 / 10_000), "the share of the whole, or of the fallback"


@pytest.mark.parametrize(
    "shape, expected", [((50, 1000), (50, 67)), ((1000, 50), (67, 50)), ((60, 60), (60, 60)), ((90, 100), (90, 100))]
)
def test_where_no_try_fits_the_largest_allowed_is_taken_in_the_middle(shape, expected):
    starts, sides = boxes(40, shape, (1.0, 1.0))
    assert (sides == expected).all() and (starts == (np.array(shape) - expected) // 2).all()


def test_boxes_of_a_volume_have_the_share_and_the_ratios_that_were_asked_for():
    starts, sides = boxes(10_000, (100, 100, 100), (0.2, 0.4))
    share = sides.prod(axis=1) / 100**3
    assert stats.kstest((share - 0.2) / 0.2, "uniform").pvalue > 1e-4
    ratios = np.log(sides[:, 1:] / sides[:, :-1])
    fraction = (ratios - math.log(RATIO[0])) / (math.log(RATIO[1]) - math.log(RATIO[0]))
    assert (abs(fraction - 0.5) < 0.53).all() and (abs(fraction.mean(axis=0) - 0.5) < 0.02).all()
    whole, _ = boxes(10, (64, 64, 16), (1.0, 1.0), (0.01, 100))
    assert (whole == 0).all()


@pytest.mark.parametrize(
    "start, sides, size", [((5, 9), (60, 40), (17, 13)), ((0, 0), (80, 70), (40, 100)), ((3, 2), (9, 11), (33, 32))]
)
def test_a_crop_is_what_pillow_makes_of_it(start, sides, size):
    """Pillow averages where it makes smaller, in single precision for images of floats."""
    volume = torch.rand(2, 3, 80, 70)
    found = resized_crops(volume, np.array([start] * 2), np.array([sides] * 2), size)
    (top, left), (height, width) = start, sides
    for b in range(2):
        for c in range(3):
            crop = Image.fromarray(volume[b, c, top : top + height, left : left + width].numpy())
            expected = np.asarray(crop.resize(size[::-1], Image.Resampling.BILINEAR))
            np.testing.assert_allclose(found[b, c], expected, rtol=0, atol=1e-5)


def test_a_volume_is_resized_along_one_axis_after_the_other():
    volume, size = torch.rand(1, 2, 20, 18, 16, dtype=torch.float64), (9, 25, 8)
    found = resized_crops(volume, np.array([[2, 1, 0]]), np.array([[17, 12, 16]]), size)
    expected = volume[0, :, 2:19, 1:13].numpy()
    for axis, side in enumerate(size):
        lines = np.moveaxis(expected, axis + 1, -1)
        flat = Image.fromarray(lines.reshape(-1, lines.shape[-1]).astype(np.float32))
        long = np.asarray(flat.resize((side, flat.height), Image.Resampling.BILINEAR))
        expected = np.moveaxis(long.reshape(*lines.shape[:-1], side), -1, axis + 1)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)


def test_the_whole_at_its_own_size_stays_as_it_is():
    for shape in ((30, 20), (12, 9, 7)):
        volume = torch.rand(2, 1, *shape)
        whole = resized_crops(volume, np.zeros((2, len(shape)), int), np.array([shape] * 2), shape)
        torch.testing.assert_close(whole, volume, rtol=0, atol=1e-7)


@pytest.mark.parametrize("shape, size", [((30, 24), (8, 15)), ((30, 24, 18), (8, 15, 9))])
def test_the_affine_moves_as_with_monais_crop_and_resize(shape, size):
    starts, sides = np.arange(1, len(shape) + 1), np.array(shape) // 2
    volume = MetaTensor(torch.rand(1, *shape), affine=AFFINE)
    expected = Resize(size)(SpatialCrop(roi_start=starts, roi_end=starts + sides)(volume)).affine
    result = move_affine(MetaTensor(torch.zeros(1, *size), affine=AFFINE), starts, sides / size)
    np.testing.assert_allclose(result.affine, expected, atol=1e-6)
    plain = torch.zeros(1, *size)
    assert move_affine(plain, starts, sides / size) is plain
