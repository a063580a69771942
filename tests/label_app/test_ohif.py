"""OHIF, as the wheel of MONAI Label serves it, opened in a browser on a folder of studies."""

import json
import urllib.request
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from helpers.browser import CHROMIUM, Browser
from helpers.label_server import START_SECONDS, Server

from medgenesis.datasets.phantom import write_phantoms

LABELS = ["lungs", "liver"]
SHOWN = """(() => {
    const all = services.segmentationService, shown = all.getLabelmapVolume('1');
    const segments = Object.values(all.getSegmentation('1').segments).filter(one => one);
    const names = segments.map(one => [one.segmentIndex, one.label]);
    const values = shown.voxelManager.getCompleteScalarDataArray();
    return JSON.stringify({sides: shown.dimensions, origin: shown.origin, spacing: shown.spacing,
        direction: Array.from(shown.direction), names: names, values: Array.from(values).join('')});
})()"""


def _world(root):
    """One labelled study, and one without a label that is stored in another order of axes."""
    write_phantoms(root / "phantoms", 2, seed=5, shape=(40, 40, 32))
    (root / "studies").mkdir()
    first, second = (nib.load(root / "phantoms" / "images" / f"phantom_00{k}.nii.gz") for k in (0, 1))
    nib.save(first, root / "studies" / "first.nii.gz")
    change = nib.orientations.ornt_transform(nib.io_orientation(second.affine), nib.orientations.axcodes2ornt("RSA"))
    nib.save(second.as_reoriented(change), root / "studies" / "second.nii.gz")
    stored = nib.load(root / "phantoms" / "labels" / "phantom_000.nii.gz")
    truth = np.asarray(stored.dataobj)
    drawn = (np.isin(truth, (1, 2, 7)) + 2 * (truth == 6)).astype(np.uint8)
    nib.save(nib.Nifti1Image(drawn, stored.affine), root / "drawn.nii.gz")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.timeout(1200)
def test_a_study_of_a_folder_is_opened_and_segmented(tmp_path):
    _world(tmp_path)
    server = Server(tmp_path, "models_genesis_ct", LABELS, ["--demo"])
    try:
        server.client.save_label("first", str(tmp_path / "drawn.nii.gz"), "", {})
        address = f"http://127.0.0.1:{server.port}"
        with urllib.request.urlopen(f"{address}/proxy/dicom/qido/studies?PatientName=*second*") as answer:
            (study,) = json.load(answer)
        with Browser(tmp_path / "profile") as browser:
            uid = study["0020000D"]["Value"][0]
            browser.open(f"{address}/ohif/monai-label?StudyInstanceUIDs={uid}")
            browser.until("document.querySelector('#monailabelServerURL') && cornerstone.cache", START_SECONDS)
            assert browser.run("document.querySelector('#monailabelServerURL').value") == f"{address}/"
            browser.until("document.body.innerText.includes('/40')", START_SECONDS)  # the slices are there
            browser.run("document.querySelector('.settingsTable button').click()")
            buttons = (
                "[...document.querySelectorAll('.monaiLabelPanel button')].filter(x => x.innerText.trim() == 'Run')"
            )
            browser.until(f"{buttons}.length && services.segmentationService.getLabelmapVolume('1')", START_SECONDS)
            browser.run(f"{buttons}[0].click()")
            count = "services.segmentationService.getLabelmapVolume('1').voxelManager.getCompleteScalarDataArray()"
            browser.until(f"{count}.some(value => value)", START_SECONDS)
            shown = json.loads(browser.run(SHOWN))
        path, said = server.client.infer("draft", "second", {"result_extension": ".nii.gz"})
        _compare(shown, nib.load(path), said["label_names"])
        assert not (Path(server.app) / "studies" / "ohif").exists()  # what was turned lies beside the studies
    finally:
        server.kill()


def _compare(shown, answer, values):
    """The label map that the browser holds is that of the server, by world coordinates and names."""
    found = np.array(list(shown["values"]), int).reshape(shown["sides"][::-1]).transpose(2, 1, 0)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(shown["direction"], (3, 3)).T * shown["spacing"]
    affine[:3, 3] = shown["origin"]
    place = np.linalg.inv(answer.affine) @ np.diag([-1, -1, 1, 1]) @ affine
    index = np.stack([*np.indices(found.shape), np.ones(found.shape)]).reshape(4, -1)
    index = np.rint((place @ index)[:3]).astype(int)
    expected = np.asarray(answer.dataobj)[tuple(index)].reshape(found.shape)
    numbers = {name: number for number, name in shown["names"]}
    for name, value in values.items():
        np.testing.assert_array_equal(found == numbers[name], expected == value, err_msg=name)
    assert (found > 0).any()
