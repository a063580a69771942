"""Whether test patients were seen: told where the keys are of one kind, never where they are not."""

import pytest

from medgenesis.data.unseen import check_unseen, key_kinds
from medgenesis.errors import DatalistError


def _list(kind, *patients, section="training"):
    header = {} if kind is None else {"patient_keys": [kind]}
    return {**header, section: [{"image": f"/{section}{i}.nii", "patient": p} for i, p in enumerate(patients)]}


def _check(pretraining, tested):
    return check_unseen(pretraining, tested, ("A", "B"))


@pytest.mark.parametrize(
    "kinds, keys",
    [
        (("hash of PatientID", "file name"), ("0123456789ab", "phantom_1")),
        (("UID", "folder name"), ("1.3.6.1.4.1", "LIDC-IDRI-0001")),
        (("hash of PatientID", "hash of StudyInstanceUID"), ("0123456789ab", "aa23456789ab")),
        ((None, "file name"), ("0123456789ab", "phantom_1")),
        ((None, None), ("1.2.840.113619.2.5", "p1")),
        (("file name", "file name"), ("case_1", "liver_2")),
    ],
)
def test_it_cannot_be_told(kinds, keys):
    with pytest.raises(DatalistError, match="cannot be told.*A: .*B: "):
        _check(_list(kinds[0], keys[0]), _list(kinds[1], keys[1], section="test"))


def test_records_without_patient_cannot_be_told():
    tested = {"test": [{"image": "/t.nii"}]}
    with pytest.raises(DatalistError, match="cannot be told.*B: no patient"):
        _check(_list("file name", "p1"), tested)
    assert key_kinds(tested) == {"no patient"}


@pytest.mark.parametrize("section", ["training", "validation", "unlabeled"])
def test_who_is_in_both_is_refused_however_the_number_is_written(section):
    with pytest.raises(DatalistError, match="in both the pre-training and the test section"):
        _check(_list("file name", "Liver_01", section=section), _list("folder name", "liver_1", section="test"))


def test_it_can_be_told():
    told = _check(_list("folder name", "liver_1", "liver_3"), _list(None, "liver_2", section="test"))
    assert told == "A: folder name, such as liver_1, liver_3; B: file name, such as liver_2"
    with pytest.raises(DatalistError, match="B: must have a test section"):
        _check(_list("file name", "p1"), _list("file name", "p2"))


def test_every_form_of_the_test_must_be_among_the_seen_ones():
    """One shared form tells nothing of the patients who are named in another."""
    seen = _list("file name", "liver_1", "liver_3", "psma_95b833d65be26d9f")
    _check(seen, _list("file name", "liver_2", "psma_0011aabbccddeeff", section="test"))
    with pytest.raises(DatalistError, match="cannot be told.* 2 of 3 test patients .*, as anna, case_7; found"):
        _check(seen, _list("file name", "liver_2", "case_7", "anna", section="test"))


def test_pseudonyms_can_be_told():
    seen = _list("file name", "AB12CD", "XK9P2", "Q7RR1", "M3N4P")
    _check(seen, _list("file name", "ZT5OP", section="test"))
    with pytest.raises(DatalistError, match="cannot be told.*, as BRATS001, P0012; found"):
        _check(seen, _list("file name", "ZT5OP", "P0012", "BRATS001", section="test"))
