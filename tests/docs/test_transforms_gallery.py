"""The image gallery of the transforms: what the script writes; the committed images are what it draws."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMPOSITES = {"genesis_models", "genesis_semantic"}
SMALL = (48, 48, 32)


@pytest.fixture(scope="module")
def gallery():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("transforms_gallery", DOCS / "transforms_gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_image_has_the_original_and_draws_that_differ_from_it(gallery, tmp_path):
    gallery.main(["--out", str(tmp_path), "--shape", *map(str, SMALL)])
    volume = gallery.thorax(SMALL).volume[0].numpy()
    across, down, _ = volume.shape
    times = -(-gallery.PANEL // across)
    plane = np.round(volume[:, :, volume.shape[2] // 2].T * 255).repeat(times, 0).repeat(times, 1)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (DOCS / "transforms_gallery").iterdir()}
    for path in tmp_path.iterdir():
        page = np.asarray(Image.open(path))
        rows, gap = 1 + (path.stem in COMPOSITES), gallery.GAP
        width, height = times * across, times * down
        assert page.shape == (rows * (height + gap) + gallery.LINE + gap, 4 * (width + gap) + gap, 3)
        lefts = [gap + k * (width + gap) for k in range(4)]
        panels = [page[gap : gap + height, left : left + width] for left in lefts]
        assert np.abs(panels[0] - plane[..., None]).max() <= 1
        assert all((panel != panels[0]).mean() > 0.001 for panel in panels[1:]), path.stem
        assert len({panel.tobytes() for panel in panels}) == 4


def test_another_seed_draws_others(gallery):
    scene = gallery.thorax(SMALL)
    for draw, _ in gallery.GALLERY.values():
        first, again, other = (draw(scene, seed)[0][0] for seed in (0, 0, 3))
        assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.slow
def test_the_committed_images_are_what_the_script_draws(gallery, tmp_path):
    gallery.main(["--out", str(tmp_path)])
    for path in tmp_path.iterdir():
        ours, drawn = (np.asarray(Image.open(folder / path.name)) for folder in (DOCS / "transforms_gallery", tmp_path))
        assert ours.shape == drawn.shape
        assert (ours != drawn).mean() < 0.01, f"{path.name} is out of date: run python docs/transforms_gallery.py"
