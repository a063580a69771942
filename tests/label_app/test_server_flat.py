"""The clinician's loop on X-rays, and on volumes slice by slice, with MONAI Label's own server and client."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from helpers.label_server import START_SECONDS, Server, refused

from medgenesis.datasets.phantom import write_phantoms

pytestmark = pytest.mark.timeout(2 * START_SECONDS)  # each process that starts imports for half a minute or more

SMALL = ["--weights", "scratch", "--overlay", "quick", "--set", "size=32", "--set", "overlap=0"]
EPOCHS = 30


def _dicom(values, path):
    """A radiograph of 12 bits, as a hospital has it."""
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    data.SeriesInstanceUID, data.Modality, data.PatientID = "1.2.3", "DX", "SECRET"
    data.Rows, data.Columns = values.shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.WindowCenter, data.WindowWidth = 2047.5, 4096
    data.PixelData = values.astype(np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True) if hasattr(pydicom, "examples") else data.save_as(
        path, write_like_original=False
    )


def _loop(server, studies, extension, read):
    """Label two, train, and Dice of the third."""
    for name, label in studies[:2]:
        server.client.save_label(name, str(label), "", {})
    name, label = studies[2]
    for strategy in ("typical", "coverage"):
        assert server.client.next_sample(strategy, {})["id"] not in {name for name, _ in studies[:2]}
    draft, said = server.client.infer("draft", name, {"result_extension": extension})
    assert "draft" in said and read(draft).shape == read(label).shape
    first = server.train(max_epochs=1)
    assert first["status"] == "DONE", first["details"]
    dice = []
    for _ in range(2):
        found, truth = read(server.infer(name, result_extension=extension)[0]), read(label)
        assert found.shape == truth.shape and set(np.unique(found)) <= {0, 1}
        dice.append(2 * np.sum((found == 1) & (truth == 1)) / (np.sum(found == 1) + np.sum(truth == 1)))
        if len(dice) == 1:
            status = server.train(max_epochs=EPOCHS)
            assert status["status"] == "DONE", status["details"]
    assert dice[1] > max(np.nan_to_num(dice[0]), 0.5), dice


def test_xrays(tmp_path):
    write_phantoms(tmp_path / "phantoms", 4, seed=3, shape=(48, 48, 48))
    studies = tmp_path / "studies"
    studies.mkdir()
    labelled = []
    images = sorted((tmp_path / "phantoms" / "xrays").glob("*.png"))
    for number, path in enumerate(images):
        pixels = np.asarray(Image.open(path))
        if number < 3:
            Image.open(path).save(studies / f"plain{number}.png")
            truth = np.asarray(Image.open(tmp_path / "phantoms" / "xray_masks" / path.name))
            label = tmp_path / f"label{number}.png"
            Image.fromarray((truth > 0).astype(np.uint8)).save(label)
            labelled.append((f"plain{number}", label))
        else:
            _dicom(pixels.astype(int) * 16, studies / "radiograph.dcm")
    truth = np.asarray(Image.open(labelled[1][1])).T
    slicer = tmp_path / "slicer.nii.gz"  # 3D Slicer saves a volume of one slice
    nib.save(nib.Nifti1Image(truth[..., None], np.diag([-1.0, -1, 1, 1])), slicer)
    words = [*SMALL, "--set", "size=64"]  # shrunk to 32, the shorter side is less than the network takes
    server = Server(tmp_path, "caid_cxr", ["structure"], words)
    try:
        info = server.client.info()
        assert info["models"]["scribbles"]["dimension"] == 2
        (radiograph,) = [name for name in server.client.datastore()["objects"] if name.startswith("xray_")]
        shown = np.asarray(Image.open(server.app / "studies" / f"{radiograph}.png"))
        np.testing.assert_allclose(shown, pixels, atol=1)
        read = lambda path: np.asarray(Image.open(path))  # noqa: E731
        server.client.save_label("plain1", str(slicer), "", {})
        np.testing.assert_array_equal(read(server.client.download_label("plain1", "final")), truth.T)
        _loop(server, labelled, ".png", read)
        assert read(server.infer(radiograph)[0]).shape == pixels.shape
        marks = np.zeros((*truth.shape, 1), np.uint8)
        inside, outside = np.argwhere(truth), np.argwhere(truth == 0)
        marks[(*inside[:: len(inside) // 20].T, 0)], marks[(*outside[:: len(outside) // 40].T, 0)] = 3, 2
        nib.save(nib.Nifti1Image(marks, np.diag([-1.0, -1, 1, 1])), slicer)
        params = {"structure": "structure", "result_extension": ".png"}
        cut = read(server.client.infer("scribbles", "plain1", params, label_in=str(slicer))[0])
        assert cut.shape == truth.T.shape and cut.T[marks[..., 0] == 3].all() and not cut.T[marks[..., 0] == 2].any()
        several = tmp_path / "several.nii.gz"
        nib.save(nib.Nifti1Image(np.ones((4, 4, 3), np.uint8), np.eye(4)), several)
        assert "must be of one slice" in refused(server.client.save_label, "plain2", str(several), "", {})
    finally:
        server.kill()


@pytest.mark.parametrize("bundle", ["caid_cxr", pytest.param("adam_cxr", marks=pytest.mark.slow)])
def test_volumes_slice_by_slice(tmp_path, bundle):
    write_phantoms(tmp_path / "phantoms", 3, seed=5, shape=(32, 32, 24))
    studies, labelled = tmp_path / "phantoms" / "images", []
    for path in sorted(studies.iterdir()):
        stored = nib.load(tmp_path / "phantoms" / "labels" / path.name)
        label = tmp_path / path.name
        lungs = np.isin(np.asarray(stored.dataobj), (1, 2, 7)).astype(np.uint8)
        nib.save(nib.Nifti1Image(lungs, stored.affine), label)
        labelled.append((path.name.removesuffix(".nii.gz"), label))
    words = [*SMALL, "--set", "slabs_per_image=8", "--overlay", "slabs"]
    server = Server(tmp_path, bundle, ["lungs"], words, studies=studies)
    try:
        _loop(server, labelled, ".nii.gz", lambda path: np.asarray(nib.load(path).dataobj))
    finally:
        server.kill()
