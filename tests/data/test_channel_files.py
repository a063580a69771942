"""Files of nnU-Net's names become channels of one scan, and numbers that count scans do not."""

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from medgenesis.data.channel_files import join_channels
from medgenesis.data.scan import Scan
from medgenesis.errors import DatalistError


def _scans(*names, folder="images"):
    return [Scan(name, (Path(folder, f"{name}.nii.gz"),), ".nii.gz") for name in names]


def _joined(scans, **how):
    return {scan.name: len(scan.files) for scan in join_channels(scans, **how)}


@given(st.sets(st.integers(0, 999), min_size=2, max_size=6), st.integers(1, 5), st.randoms())
def test_equal_channels_are_joined_in_their_order(cases, channels, random):
    names = [f"BRATS_{case:03}_{channel:04}" for case in cases for channel in range(channels)]
    random.shuffle(names)
    joined = {scan.name: [file.name for file in scan.files] for scan in join_channels(_scans(*names))}
    assert joined == {
        f"BRATS_{case:03}": [f"BRATS_{case:03}_{channel:04}.nii.gz" for channel in range(channels)] for case in cases
    }


@given(st.sets(st.integers(0, 9999), min_size=17, max_size=40))
def test_numbers_that_count_scans_stay(numbers):
    scans = _scans(*(f"scan_{number:04}" for number in numbers))
    assert join_channels(scans) == scans


def test_a_single_case_is_a_question_but_not_in_imagestr(caplog):
    names = [f"case_{channel:04}" for channel in range(3)]
    assert _joined(_scans(*names)) == dict.fromkeys(names, 1)
    assert "taken as 3 scans" in caplog.text
    assert _joined(_scans(*names, folder="x/imagesTr")) == {"case": 3}
    assert _joined(_scans(*names), nnunet=True) == {"case": 3}


def test_a_case_that_lacks_a_channel_is_named():
    names = ["a_0000", "a_0001", "b_0000", "c_0000", "c_0001"]
    with pytest.raises(DatalistError, match="b: must have the channels _0000, _0001 as others do; found _0000"):
        join_channels(_scans(*names))
    with pytest.raises(DatalistError, match="without gaps; found _0001, _0002"):
        join_channels(_scans("a_0001", "a_0002"), nnunet=True)


def test_separate_channels_are_scans_of_one_case():
    scans = join_channels(_scans("a_0000", "a_0001", "b_0000", "b_0001"), separate=True)
    assert [(scan.name, scan.case) for scan in scans] == [
        ("a_0000", "a"), ("a_0001", "a"), ("b_0000", "b"), ("b_0001", "b")
    ]  # fmt: skip
