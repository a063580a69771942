"""A click decides what is like it and near it, and nothing else."""

import numpy as np
import pytest

from medgenesis.errors import VolumeError
from medgenesis.label_app.clicks import apply_clicks
from medgenesis.losses import hard_dice

SPACING = (4.0, 4.0, 5.0)


def _scene():
    """Two bright boxes in noise, and a model that has missed the lower half of the one and taken the other."""
    rng = np.random.default_rng(0)
    truth, other = np.zeros((30, 24, 20), bool), np.zeros((30, 24, 20), bool)
    truth[4:10, 4:16, 4:12] = True
    other[20:25, 4:16, 4:12] = True
    image = 100.0 * (truth | other) + rng.normal(size=truth.shape) * 5
    foreground = np.full(truth.shape, 0.1, np.float32)
    foreground[truth | other] = 0.7
    foreground[4:10, 10:16, 4:12] = 0.3
    return image, truth, other, np.stack([1 - foreground, foreground])


def test_clicks_bring_back_what_was_missed_and_take_away_what_was_too_much():
    image, truth, other, model = _scene()
    before = apply_clicks(image, model, {}, SPACING)
    np.testing.assert_array_equal(before, model.argmax(0))
    one = apply_clicks(image, model, {1: [[7, 13, 8]]}, SPACING)
    both = apply_clicks(image, model, {1: [[7, 13, 8]], 0: [[22, 7, 8], [22, 13, 8]]}, SPACING)
    dice = [hard_dice(found == 1, truth) for found in (before, one, both)]
    assert dice[0] + 0.1 < dice[1] < dice[2] - 0.1, dice
    assert both[7, 13, 8] == 1 and both[22, 7, 8] == 0


def test_a_click_spares_other_intensities_and_what_is_far():
    image, truth, _, model = _scene()
    found = apply_clicks(image, model, {1: [[7, 13, 8]]}, SPACING)
    changed = found != model.argmax(0)
    assert changed.any() and not changed[~truth].any()
    place = np.stack(np.nonzero(changed)).T
    assert (np.linalg.norm((place - [7, 13, 8]) * SPACING, axis=1) <= 30).all()


def test_a_flat_image_and_the_last_click_counts():
    image, _, _, model = _scene()
    found = apply_clicks(image[:, :, 8], model[..., 8], {1: [[7, 13]], 0: [[7, 13]]}, SPACING[:2])
    assert found.shape == (30, 24) and found[7, 13] == 0


@pytest.mark.parametrize("place", [[30, 0, 0], [-1, 0, 0], [1, 2]])
def test_clicks_outside_are_refused(place):
    image, _, _, model = _scene()
    with pytest.raises(VolumeError, match="clicks: must lie in the image"):
        apply_clicks(image, model, {1: [place]}, SPACING)
