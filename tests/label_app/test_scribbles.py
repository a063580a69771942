"""Scribbles are obeyed, what is like them is found, and a model's answer is corrected where they say so."""

import numpy as np
import pytest

from medgenesis.errors import VolumeError
from medgenesis.label_app.scribbles import refine, scribble_values

pytest.importorskip("numpymaxflow", reason="comes with MONAI Label: make test-label")


def _scene():
    """Two bright boxes in noise, and scribbles: in one of the boxes, and between."""
    rng = np.random.default_rng(0)
    boxes = np.zeros((24, 20, 16), bool)
    boxes[3:9, 4:15, 3:12] = True
    other = np.zeros_like(boxes)
    other[14:20, 4:15, 3:12] = True
    image = 100.0 * (boxes | other) + rng.normal(size=boxes.shape) * 8
    foreground, background = np.zeros_like(boxes), np.zeros_like(boxes)
    foreground[5:7, 6:12, 6] = True
    background[11:13, 2:18, 4:10] = True
    return image, boxes, other, background, foreground


def test_what_is_like_the_scribbles_is_found():
    image, box, other, background, foreground = _scene()
    found = refine(image, background, foreground)
    assert 2 * (found & (box | other)).sum() / (found.sum() + (box | other).sum()) > 0.97
    assert found[foreground].all() and not found[background].any()


def test_a_region_keeps_the_rest_out():
    image, box, _, background, foreground = _scene()
    found = refine(image, background, foreground, roi=[0, 12, 0, 20, 0, 16])
    assert 2 * (found & box).sum() / (found.sum() + box.sum()) > 0.97


def test_a_model_is_corrected():
    image, box, other, background, foreground = _scene()
    background = background | (other & (np.arange(24) % 2 == 0)[:, None, None])  # the other box is none of it
    model = np.where(box | other, 0.7, 0.1)
    model[3:9, 10:15, 3:12] = 0.3  # what the model has missed
    foreground[4:8, 12, 6] = True
    found = refine(image, background, foreground, model)
    assert found[foreground].all() and not found[background].any()
    assert (found & box).sum() > (model[box] > 0.5).sum()


def test_a_flat_image():
    image, boxes, other, background, foreground = (one[:, :, 6] for one in _scene())
    background = np.zeros_like(background)
    background[11:13, 2:18] = True
    found = refine(image, background, foreground)
    truth = boxes | other
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.95
    found = refine(image, background, foreground, roi=[0, 12, 0, 20, 0, 1])  # 3D Slicer's of a volume of one slice
    assert 2 * (found & boxes).sum() / (found.sum() + boxes.sum()) > 0.95
    with pytest.raises(VolumeError, match="roi: must have a begin and an end along each of 2 axes"):
        refine(image, background, foreground, roi=[0, 12])


def test_what_cannot_be_done():
    image, _, _, background, foreground = _scene()
    with pytest.raises(VolumeError, match="scribbles: must mark"):
        refine(image, background, np.zeros_like(foreground))
    with pytest.raises(VolumeError, match="roi: must lie within"):
        refine(image, background, foreground, roi=[30, 40, 0, 5, 0, 5])


def test_values_of_the_scribbles():
    assert scribble_values(None, 2) == (3, 4)
    said = [{"name": "background_scribbles", "id": 7}, {"name": "foreground_scribbles", "id": 9}, {"name": "liver"}]
    assert scribble_values(said, 2) == (7, 9)
    assert scribble_values([{"name": "foreground_scribbles", "idx": 9}], 2) == (3, 9)
    for wrong in ("rubbish", {"background_scribbles": 7}, [{"name": "background_scribbles"}], ["background_scribbles"]):
        with pytest.raises(VolumeError, match="label_info: must be"):
            scribble_values(wrong, 2)
