"""Radiographs as the label app shows them: bright where little came through, whatever the file's window is of."""

import numpy as np
from PIL import Image
from pydicom.uid import DigitalXRayImageStorageForProcessing

from medgenesis.label_app.radiographs import convert_radiograph


def test_the_window_of_stored_values_is_left_aside_where_they_are_turned(write_series, tmp_path):
    little = np.add.outer(40 * np.arange(36), 50 * np.arange(48)).astype(np.uint16)  # large where little came through
    folder = write_series(
        "raw", (4095 - little)[None], [(0, 0, 0)], Modality="DX", SOPClassUID=DigitalXRayImageStorageForProcessing,
        PresentationIntentType="FOR PROCESSING", PixelIntensityRelationshipSign=1, ImagePositionPatient=None,
        ImageOrientationPatient=None, RescaleSlope=1, RescaleIntercept=0, BitsStored=12, HighBit=11,
        WindowCenter=3500, WindowWidth=1000,
    )  # fmt: skip
    convert_radiograph(folder / "0", tmp_path / "shown.png")
    shown = np.asarray(Image.open(tmp_path / "shown.png")).astype(float)
    assert np.corrcoef(shown.ravel(), little.ravel())[0, 1] > 0.99
