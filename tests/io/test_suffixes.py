"""A name without its suffix, dots and all."""

import pytest

from medgenesis.io.suffixes import split_suffix


@pytest.mark.parametrize(
    "name, parts",
    [
        ("TCGA-02-0003_2001.01.01.nii.gz", ("TCGA-02-0003_2001.01.01", ".nii.gz")),
        ("A.NII.GZ", ("A", ".NII.GZ")),
        ("x.dicom", ("x", ".dicom")),
        ("IM.0001", ("IM.0001", "")),
    ],
)
def test_the_suffix_is_that_of_a_kind_that_is_read(name, parts):
    assert split_suffix(name) == parts
