"""RandBrightnessContrast against the two steps written out, and against Pillow's."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import stats

from medgenesis.transforms import BatchedBrightnessContrast, RandBrightnessContrast


def by_hand(cube, brightness, contrast, contrast_first, low=0.0, high=1.0):
    steps = [
        lambda x: (x - low) * brightness + low,
        lambda x: contrast * x + (1 - contrast) * x.mean(),
    ]
    for step in steps[::-1] if contrast_first else steps:
        cube = np.clip(step(cube), low, high)
    return cube


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1000.0, 400.0)])
def test_each_cube_is_what_the_two_steps_make_of_it(value_range):
    low, high = value_range
    batch = torch.rand(40, 3, 12, 10, dtype=torch.float64) * (high - low) + low
    batched, differ = BatchedBrightnessContrast(value_range=value_range, prob=1.0).set_random_state(0), 0
    out, params = batched(batch), batched.params
    drawn = zip(params.brightness, params.contrast, params.contrast_first, strict=True)
    for cube, result, settings in zip(batch.numpy(), out.numpy(), drawn, strict=True):
        np.testing.assert_allclose(result, by_hand(cube, *settings, low, high), rtol=0, atol=1e-12 * (high - low))
        other_order = by_hand(cube, *settings[:2], not settings[2], low, high)
        differ += abs(other_order - result).max() > 1e-3 * (high - low)
    assert differ > 10, "the order matters where something is cut off"
    assert 10 < params.contrast_first.sum() < 30 and out.min() == low and out.max() == high


def test_pillow_does_so_on_8_bits():
    drawing = torch.randint(0, 256, (40, 30), generator=torch.Generator().manual_seed(0))
    transform = RandBrightnessContrast(prob=1.0).set_random_state(0)
    for _ in range(8):
        found = transform((drawing / 255)[None])[0] * 255
        params = transform.params
        steps = [(ImageEnhance.Brightness, params.brightness[0]), (ImageEnhance.Contrast, params.contrast[0])]
        expected = Image.fromarray(drawing.numpy().astype(np.uint8))
        for make, factor in steps[::-1] if params.contrast_first[0] else steps:
            expected = make(expected).enhance(factor)
        assert np.abs(found.numpy() - np.asarray(expected)).max() < 3  # Pillow cuts to whole numbers, twice


def test_factors_are_uniform_orders_even_and_four_of_five_are_changed():
    params = RandBrightnessContrast().sample(np.random.RandomState(0), (10_000, 1, 4, 4))
    for factors in (params.brightness, params.contrast):
        assert stats.kstest((factors - 0.6) / 0.8, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(params.brightness, params.contrast)[0, 1]) < 0.05
    assert stats.binomtest(int(params.contrast_first.sum()), 10_000).pvalue > 1e-4
    assert RandBrightnessContrast().prob == 0.8
    factors, contrast = params.expand()
    assert (contrast.sum(axis=1) == 1).all() and (factors[contrast] == params.contrast).all()


def test_other_factors():
    image = torch.rand(1, 20, 20)
    same = RandBrightnessContrast((1, 1), (1, 1), prob=1.0)(image)
    torch.testing.assert_close(same.as_tensor(), image, rtol=0, atol=1e-6)
    flat = RandBrightnessContrast((1, 1), (0, 0), prob=1.0)(image)
    torch.testing.assert_close(flat.as_tensor(), image.mean().expand_as(image), rtol=0, atol=1e-6)
    assert RandBrightnessContrast((0, 0), prob=1.0)(image).max() == 0
