"""Label maps as viewers save them: the name counts, not the number; what cannot be used is refused in words."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.errors import VolumeError
from medgenesis.label_app.labels import check_label, write_renumbered

CLASSES = {"lungs": 1, "Liver": 2, "spleen": 3}
SHAPE = (4, 5, 3)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "scan.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.int16), np.diag([1, 2, 3, 1])), path)
    return path


def _label(image, values, affine=None, shape=SHAPE):
    path = image.with_name("drawn.nii.gz")
    array = np.resize(np.array(values, np.uint8), shape)
    nib.save(nib.Nifti1Image(array, np.diag([1, 2, 3, 1]) if affine is None else affine), path)
    return path, array


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(sorted(CLASSES)), present=st.sets(st.sampled_from([1, 2, 3]), min_size=1))
def test_segments_are_known_by_their_names_whatever_their_order(image, order, present):
    info = [{"name": name.upper(), "idx": number} for number, name in enumerate(order, start=1)]
    path, stored = _label(image, [0, *sorted(present)])
    values = check_label(image, path, CLASSES, info)
    written = write_renumbered(path, path.with_name("renumbered"), values)
    expected = np.array([0, *(CLASSES[name] for name in order)])[stored]  # by the slow, obvious table
    np.testing.assert_array_equal(nib.load(written).get_fdata(), expected)
    np.testing.assert_array_equal(nib.load(written).affine, nib.load(path).affine)


def test_without_names_values_are_those_of_the_app(image):
    path, _ = _label(image, [0, 3, 1])
    assert check_label(image, path, CLASSES, None) == {1: 1, 3: 3}
    assert check_label(image, path, CLASSES, []) == {1: 1, 3: 3}


@pytest.mark.parametrize("key", ["idx", "id"])
def test_the_value_of_a_name_has_either_key(image, key):
    path, _ = _label(image, [0, 1, 2])
    assert check_label(image, path, CLASSES, [{"name": "spleen", key: 1}, {"name": "lungs", key: "2"}]) == {1: 3, 2: 1}


@pytest.mark.parametrize(
    "info",
    [
        "rubbish",
        {"liver": 1},
        7,
        ["liver"],
        [{"client_id": "x"}],
        [{"name": "lungs", "idx": 1}, {"name": "liver"}],
        [{"name": "lungs", "idx": 1}, {"idx": 3}],
        [{"name": "lungs", "idx": "one"}],
        [{"name": "lungs", "value": 1}],
        [{"name": "lungs", "idx": True}],
    ],
)
def test_names_that_cannot_be_read_are_refused(image, info):
    path, _ = _label(image, [0, 1, 3])
    with pytest.raises(VolumeError, match=r"label_info: must be \[.*found .*\. Send it so"):
        check_label(image, path, CLASSES, info)


@pytest.mark.parametrize(
    ("values", "info", "said"),
    [
        ([0, 4], None, r"must be of 1 \(lungs\), 2 \(Liver\), 3 \(spleen\); found 4\. Rename"),
        ([0, 1], [{"name": "tumour", "idx": 1}], r"found 1 \(tumour\)"),
        ([0, 2], [{"name": "lungs", "idx": 1}], "found 2"),
        ([0], None, "must have foreground"),
    ],
)
def test_what_has_no_name_is_refused(image, values, info, said):
    path, _ = _label(image, values)
    with pytest.raises(VolumeError, match=said):
        check_label(image, path, CLASSES, info)


def test_a_name_that_is_not_used_is_no_matter(image):
    path, _ = _label(image, [0, 1])
    info = [{"name": "lungs", "idx": 1}, {"name": "tumour", "idx": 2}]
    assert check_label(image, path, CLASSES, info) == {1: 1}


def test_another_grid(image):
    for changed in ({"affine": np.diag([1, 2, 4, 1])}, {"shape": (4, 5, 4)}):
        path, _ = _label(image, [0, 1], **changed)
        with pytest.raises(VolumeError, match="must lie on the grid of its image"):
            check_label(image, path, CLASSES, None)
    path, _ = _label(image, [0, 1])
    turned = nib.load(path).as_reoriented(np.array([[0, -1], [1, 1], [2, 1]]))  # the same grid, stored the other way
    nib.save(turned, path)
    assert check_label(image, path, CLASSES, None) == {1: 1}
