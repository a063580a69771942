"""The patient's key in a file's path."""

import pytest

from medgenesis.data.patients import patient_of
from medgenesis.errors import DatalistError


@pytest.mark.parametrize(
    "relative, pattern, expected",
    [
        ("LIDC-IDRI-0001_R_1", None, "LIDC-IDRI-0001"),
        ("hippocampus_003", None, "hippocampus_003"),
        ("sub-07_ses-2_T1w", None, "sub-07"),
        ("case7/scans/t1", None, "case7"),
        ("00001280_004", None, "00001280"),
        ("images_001/images/00001280_004", None, "00001280"),
        ("case7/00001280_0040", None, "case7"),
        ("site2/x_0042_b", r"_(\d+)_", "0042"),
        ("site2/x_0042_b", r"x_\d+", "x_0042"),
    ],
)
def test_keys(relative, pattern, expected):
    assert patient_of(relative, pattern) == expected


def test_bad_patterns():
    with pytest.raises(DatalistError, match="in 'abc'"):
        patient_of("abc", r"\d+")
    with pytest.raises(DatalistError, match="must be a regular expression"):
        patient_of("abc", "(")
