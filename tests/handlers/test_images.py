"""Images of a run: what is drawn of volumes, slabs and views, and the previews of its validation."""

import numpy as np
import pytest
import torch
from helpers.toy import Late, toy_trainer, validator_of
from ignite.engine import Events
from PIL import Image

from medgenesis.handlers import Preview
from medgenesis.handlers.preview import pretext_image, pretext_triples

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_image_is_the_middle_slices_side_by_side():
    rng = np.random.default_rng(0)
    target, image, restored = (rng.uniform(-0.2, 1.2, (3, 2, 5, 4, 6)).astype(np.float32) for _ in range(3))
    target = target.clip(0, 1)
    restored[1, 0, 2, 1, 3] = np.nan
    batch = {"target": torch.from_numpy(target), "image": torch.from_numpy(image)}
    drawing = pretext_triples(batch, torch.from_numpy(restored), count=2, gap=1)
    assert drawing.dtype == np.uint8 and drawing.shape == (2 * (4 + 2), 3 * (5 + 2))
    wanted = np.full(drawing.shape, 255)
    for row in range(2):
        for column, volume in enumerate((target, image, restored)):
            for x in range(5):
                for y in range(4):
                    value = volume[row, 0, x, y, 3]
                    value = 0 if np.isnan(value) else min(max(value, 0), 1)
                    wanted[row * 6 + 1 + y, column * 7 + 1 + x] = round(float(value) * 255)
    assert np.abs(drawing.astype(int) - wanted).max() <= 1  # halves may round either way
    assert (drawing == wanted).mean() > 0.99


def test_z_scored_images_are_shown_from_the_least_to_the_greatest_value_of_the_target():
    target = torch.linspace(-2, 3, 60).reshape(1, 1, 5, 4, 3)
    drawing = pretext_triples({"target": target, "image": target / 2}, target * 2, gap=0)
    for columns, volume in zip(
        (slice(0, 5), slice(5, 10), slice(10, 15)), (target, target / 2, target * 2), strict=True
    ):
        wanted = ((volume[0, 0, :, :, 1].T + 2) / 5).clamp(0, 1) * 255
        assert np.abs(drawing[:, columns] - wanted.numpy()).max() <= 0.51


def test_slabs_have_their_plane_drawn():
    target = torch.rand(1, 3, 5, 4)
    drawing = pretext_triples({"target": target[:, 1:2], "image": target}, target[:, 2:], gap=0)
    wanted = np.concatenate(target[0, [1, 1, 2]].numpy(), axis=1)  # rows are rows: a slab is turned for display
    np.testing.assert_array_equal(drawing, (wanted * 255).round().astype(np.uint8))


def test_two_views_are_drawn_where_nothing_is_restored():
    image, key = torch.rand(2, 6, 3, 5, 4)
    caption, drawing = pretext_image({"image": image, "key": key}, {"loss": torch.tensor(1.0)})
    assert caption == "two views" and drawing.shape == (4 * (5 + 4), 2 * (4 + 4))
    cubes = {"image": torch.rand(2, 1, 6, 5, 4), "other": torch.rand(2, 1, 6, 5, 4), "offset": torch.zeros(2, 3)}
    caption, pairs = pretext_image(cubes, {"loss": torch.zeros(())})
    assert caption == "two overlapping cubes" and pairs.shape == (2 * (5 + 4), 2 * (6 + 4))
    second = cubes["other"][0, 0, :, :, 2].T * 255  # beside the first, within a border of 2
    np.testing.assert_allclose(pairs[2:7, 12:18], second.numpy(), atol=0.5)
    np.testing.assert_array_equal(drawing[2:7, 2:6], (image[0, 1].numpy() * 255).round().astype(np.uint8))
    np.testing.assert_array_equal(drawing[29:34, 10:14], (key[3, 1].numpy() * 255).round().astype(np.uint8))
    assert pretext_image({"image": image}, {"loss": torch.tensor(1.0)}) is None
    caption, _ = pretext_image({"image": image, "key": key, "target": image}, {"restored": image})
    assert caption == "original, corrupted, restored"


def test_previews_show_the_last_validation_batch(tmp_path):
    shown = []

    class Keep:
        def attach(self, engine):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

        def __call__(self, engine):
            state = validator_of(engine).state
            shown.append({**state.batch, "restored": state.output["restored"].clone()})

    preview = Late(lambda validator: Preview(tmp_path / "previews", validator, every=2, scale=3))
    toy_trainer(tmp_path, epochs=4, extra=[preview, Keep()]).run()
    assert sorted(p.name for p in (tmp_path / "previews").iterdir()) == ["epoch_0002.png", "epoch_0004.png"]
    for epoch in (2, 4):
        drawing = np.asarray(Image.open(tmp_path / "previews" / f"epoch_{epoch:04d}.png"))
        batch = shown[epoch - 1]
        assert drawing.shape == (2 * 12 * 3, 3 * 12 * 3)  # the last batch holds two cubes of 8^3
        small = drawing[1::3, 1::3]
        for row in range(2):
            for column, name in enumerate(("target", "image", "restored")):
                drawn = small[12 * row + 2 : 12 * row + 10, 12 * column + 2 : 12 * column + 10]
                plane = batch[name][row, 0, :, :, 4].numpy().T
                assert np.abs(drawn / 255 - plane).max() <= 0.5 / 255 + 1e-6
        np.testing.assert_array_equal(drawing, small.repeat(3, 0).repeat(3, 1))
    assert torch.equal(shown[0]["image"], shown[3]["image"])
