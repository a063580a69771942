"""The clinician's loop on a DICOMweb server, with a guided network, by MONAI Label's own server and client."""

import nibabel as nib
import numpy as np
import pydicom
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from helpers.dicomweb_server import dicomweb_server
from helpers.label_server import START_SECONDS, Server

from medgenesis.datasets.phantom import write_phantoms

pytestmark = pytest.mark.timeout(2 * START_SECONDS)

MODEL = "models_genesis_ct"
SMALL = ["--weights", "scratch", "--overlay", "quick", "--set", "width=4", "--overlay", "guided"]


def test_draw_store_train(tmp_path):
    write_phantoms(tmp_path / "phantoms", 2, seed=5, shape=(40, 40, 32), dicom=True)
    stored = tmp_path / "phantoms" / "dicom"
    labels = sorted((tmp_path / "phantoms" / "labels").iterdir())
    series = {str(pydicom.dcmread(next(one.iterdir())).SeriesInstanceUID): one for one in stored.iterdir()}
    with dicomweb_server(stored) as address:
        server = Server(tmp_path, MODEL, ["lungs", "liver"], SMALL, studies=address)
        try:
            assert server.client.next_sample("random", {})["id"] in series
            for name, label in zip(sorted(series, key=series.get), labels, strict=True):
                image = nib.load(label)
                liver = np.isin(np.asarray(image.dataobj), (6,)).astype(np.uint8)
                nib.save(nib.Nifti1Image(liver, image.affine), tmp_path / "liver.nii.gz")
                info = {"label_info": [{"name": "liver", "idx": 1}]}  # drawn alone: 3D Slicer numbers it 1
                server.client.save_label(name, str(tmp_path / "liver.nii.gz"), "", info)
            segments = [header for header in _headers(stored) if header.Modality == "SEG"]
            assert len(segments) == 2 and {one.SegmentSequence[0].SegmentLabel for one in segments} == {"liver"}
            assert not server.client.next_sample("random", {})  # all are labelled
            status = server.train(max_epochs=1)
            assert status["status"] == "DONE", status["details"]
            result = server.client.info()["train_stats"][MODEL]
            assert result["studies"] == 2 and result["left_out"] == {}
            path, _ = server.infer(next(iter(series)), result_extension=".nii.gz")
            before = np.asarray(nib.load(path).dataobj)
            assert before.shape == (40, 40, 32)
            click = np.argwhere(before != 1)[0].tolist()
            params = {"result_extension": ".nii.gz", "lungs": [click]}
            path, _ = server.client.infer("clicks", next(iter(series)), params)  # a guided network is asked anew
            after = np.asarray(nib.load(path).dataobj)
            assert after[tuple(click)] == 1 and (after != before).sum() >= 1
        finally:
            server.kill()


def _headers(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            yield pydicom.dcmread(path, stop_before_pixels=True)
