"""Which DICOM slices a result belongs to; `test_server.py` has the DICOM SEG itself."""

import nibabel as nib
import numpy as np
import pytest

from medgenesis.errors import VolumeError
from medgenesis.label_app.dicom_seg import series_files
from medgenesis.label_app.studies import gather_studies


def _positions(count):
    return [(-10, -20, 5 + 2 * i) for i in range(count)]


def test_each_series_of_a_folder_has_its_own_slices(tmp_path, write_series, write_nifti):
    for number, count in ((1, 3), (2, 4)):
        stored = np.full((count, 3, 5), number)
        write_series("in/s", stored, _positions(count), prefix=f"{number}_", SeriesInstanceUID=f"1.{number}")
    write_nifti("in/scan.nii.gz", np.zeros((3, 4, 5), np.int16))
    out = tmp_path / "out"
    names = gather_studies(tmp_path / "in", out)
    assert len(names) == 3
    for name in names:
        if name == "scan":
            with pytest.raises(VolumeError, match="result_extension: .dcm must be asked of studies that are DICOM"):
                series_files(out / "scan.nii.gz")
            continue
        files = series_files(out / f"{name}.nii.gz")
        assert len(files) == nib.load(out / f"{name}.nii.gz").shape[2]  # 3 slices of one, 4 of the other
        assert len({file.name.partition("_")[0] for file in files}) == 1


def test_the_cache_of_a_dicomweb_server(tmp_path):
    (tmp_path / "1.2.3").mkdir()
    for name in ("b.dcm", "a.dcm"):
        (tmp_path / "1.2.3" / name).write_bytes(b"")
    assert [file.name for file in series_files(tmp_path / "1.2.3.nii.gz")] == ["a.dcm", "b.dcm"]
