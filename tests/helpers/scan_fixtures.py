"""Tiny scans written for the tests: NIfTI of any affine, DICOM series of any positions."""

import multiprocessing
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medgenesis.datasets.phantom.dicom import save_dataset


@pytest.fixture
def write_nifti(tmp_path):
    """write_nifti(name, array, affine=None) -> path as text."""

    def write(name: str, array: np.ndarray, affine=None) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
        return str(path)

    return write


@pytest.fixture
def write_series(tmp_path):
    """write_series(folder, stored (n, rows, columns), positions (n, 3), **tags) -> folder."""

    def write(folder: str, stored: np.ndarray, positions, prefix: str = "", **tags) -> Path:
        path = tmp_path / folder
        path.mkdir(parents=True, exist_ok=True)
        series = tags.pop("SeriesInstanceUID", generate_uid())
        for i, (pixels, position) in enumerate(zip(stored, positions, strict=True)):
            meta = FileMetaDataset()
            meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
            meta.MediaStorageSOPInstanceUID = generate_uid()
            dataset = FileDataset(str(path / f"{prefix}{i}"), {}, file_meta=meta, preamble=b"\0" * 128)
            dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
            dataset.PatientName, dataset.PatientID, dataset.Modality = "Doe^Jane", "secret-17", "CT"
            dataset.SeriesInstanceUID, dataset.SeriesNumber = series, 4
            dataset.InstanceNumber = len(stored) - i  # against the positions: must not decide the order
            dataset.Rows, dataset.Columns = pixels.shape
            dataset.PixelSpacing, dataset.SliceThickness = [0.5, 0.7], 2.5
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            dataset.ImagePositionPatient = [float(value) for value in position]
            dataset.RescaleSlope, dataset.RescaleIntercept = 2, -1000
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            dataset.BitsAllocated = dataset.BitsStored = 16
            dataset.HighBit, dataset.PixelRepresentation = 15, 0
            for tag, value in tags.items():
                setattr(dataset, tag, value)
            dataset.PixelData = pixels.astype("<u2").tobytes()
            save_dataset(dataset, path / f"{prefix}{i}")
        return path

    return write


@pytest.fixture
def records(write_nifti):
    """Three small volumes in [0, 1], of three shapes."""
    rng = np.random.default_rng(0)
    shapes = [(20, 24, 18), (18, 17, 30), (22, 16, 16)]
    volumes = [rng.random(shape, dtype=np.float32) for shape in shapes]
    affine = np.diag([2.0, 1.5, 3.0, 1.0])
    return [{"image": write_nifti(f"{i}.nii.gz", v, affine), "patient": f"p{i}"} for i, v in enumerate(volumes)]


@pytest.fixture
def in_child():
    """in_child(function, *args) -> what it returns in a forked process: quick, and limits stay there.

    in_child.started(function, *args) -> a function that waits for it, for two at the same time.
    """
    fork = multiprocessing.get_context("fork")

    def started(function, *args):
        ours, theirs = fork.Pipe(duplex=False)
        child = fork.Process(target=lambda: theirs.send(function(*args)))
        child.start()
        theirs.close()

        def result():
            child.join(60)
            assert child.exitcode == 0
            return ours.recv()

        return result

    def run(function, *args):
        return started(function, *args)()

    run.started = started
    return run


@pytest.fixture
def four_cores(monkeypatch):
    """Let `num_workers` be as many as asked for, on any machine."""
    monkeypatch.setattr("medgenesis.data.reading._cores", lambda: 4)
