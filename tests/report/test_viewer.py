"""Scans that a reader scrolls through: what the page holds, and what a browser makes of it."""

import base64
import gzip
import hashlib
import html
import json
import re
import shutil
import subprocess
from importlib import resources

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medgenesis.errors import VolumeError
from medgenesis.report import Report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def _oblique():
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, :3] = affine[:3, :3] @ np.diag([-3, -3, 5.0])  # axes grow to the left, the back and the head
    affine[:3, 3] = [80, 110, -90]
    return affine


def _scene():
    """A grey box with a label at the patient's right (small x of an axis that grows to the left), in front."""
    volume, label = np.full((40, 48, 30), 0.5), np.zeros((40, 48, 30), int)
    label[4:14, 8:18, 10:20] = 1
    return volume, label


def _held(page, id):
    text = re.search(rf'<script type="text/plain" id="{id}">([^<]*)</script>', page)[1]
    return gzip.decompress(base64.b64decode(text))


def test_the_page_holds_the_scan_its_label_map_and_the_viewer():
    volume, label = _scene()
    page = Report("Scan").viewer(volume, _oblique(), {"found": label}, "<one>", ["liver"]).render()
    image, found = (nib.Nifti1Image.from_bytes(_held(page, id)) for id in ("volume1", "volume1label0"))
    np.testing.assert_array_equal(image.get_fdata(), 128)
    np.testing.assert_array_equal(found.get_fdata(), label)
    for one in (image, found):
        np.testing.assert_allclose(one.affine, _oblique(), atol=1e-4)
    shown = json.loads(html.unescape(re.search(r'data-shown="([^"]*)"', page)[1]))
    assert shown["volumes"][1]["labels"]["labels"] == ["", "liver"]
    voxel = np.linalg.inv(_oblique()) @ [*shown["at"], 1]
    assert label[tuple(np.rint(voxel[:3]).astype(int))] == 1
    licence = resources.files("medgenesis.report").joinpath("niivue", "LICENSE").read_text()
    assert hashlib.sha256(_held(page, "niivue")).hexdigest() in licence
    assert "BSD 2-Clause" in page and "&lt;one&gt;" in page and "http-equiv" in page


def test_pages_without_scans_run_nothing():
    assert "<script" not in Report("Text").paragraph("x").render()


def test_large_scans_are_thinned_out(monkeypatch):
    monkeypatch.setattr("medgenesis.report.viewer.MOST_VOXELS", 10_000)
    volume, label = _scene()
    page = Report("Scan").viewer(volume, _oblique(), {"found": label}, "one").render()
    image = nib.Nifti1Image.from_bytes(_held(page, "volume1"))
    assert image.shape == (20, 24, 15) and "one voxel in 2 of each axis" in page
    np.testing.assert_allclose(image.affine @ [3, 4, 5, 1], _oblique() @ [6, 8, 10, 1], atol=1e-3)


def test_another_grid():
    volume, label = _scene()
    with pytest.raises(VolumeError, match="found: must be"):
        Report("Scan").viewer(volume, _oblique(), {"found": label[1:]}, "one")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_browser_shows_the_label_where_it_is(tmp_path):
    """The patient's right is at the image's left, the front above: there the label lies."""
    volume, label = _scene()
    page = Report("Scan").viewer(volume, _oblique(), {"found": label}, "one").write(tmp_path / "page.html")
    words = "--headless=new --no-sandbox --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"
    shot = tmp_path / "shot.png"
    more = ["--virtual-time-budget=20000", "--window-size=1000,800", f"--user-data-dir={tmp_path / 'profile'}"]
    subprocess.run([CHROMIUM, *words.split(), *more, f"--screenshot={shot}", page.as_uri()], check=True, timeout=240)
    drawn = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    blue = (drawn[..., 2] - drawn[..., 0]) > 40  # the label's colour over grey
    grey = (np.ptp(drawn, axis=2) < 12) & (drawn[..., 0] > 90) & (drawn[..., 0] < 200)
    rows, columns = np.nonzero(blue[:, :350] & (np.arange(len(drawn)) > 100)[:, None])
    assert len(rows) > 200, "no label is drawn"
    box = [np.flatnonzero(grey[150:, :350].any(axis)) for axis in (1, 0)]
    middle = box[0].mean() + 150, box[1].mean()
    assert rows.mean() < middle[0] and columns.mean() < middle[1]
