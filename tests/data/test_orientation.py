"""Flat images that say where they lie: axial ones are turned as a slice of one voxel is, others are refused."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest

from medgenesis.data import preprocessing
from medgenesis.errors import VolumeError

ARRAY = np.arange(12 * 10, dtype=np.int16).reshape(12, 10)


def prepared(path, array, affine):
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return preprocessing(intensity=None)({"image": str(path)})["image"].numpy()[0]


@pytest.mark.parametrize("order", permutations(range(3)))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=2)))
def test_a_flat_image_is_turned_as_a_slice_of_one_voxel_or_refused(tmp_path, order, signs):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order] * (*(sign * 1.5 for sign in signs), 3)
    thin = prepared(tmp_path / "thin.nii", ARRAY[..., None], affine)
    if set(order[:2]) == {0, 1}:
        np.testing.assert_array_equal(prepared(tmp_path / "flat.nii", ARRAY, affine), thin[..., 0])
    else:
        grow = "".join(nibabel.aff2axcodes(affine)[:2])
        found = (
            f"flat.nii: a 2D image must lie in the plane of L and P.*; found axes that grow to {grow[0]} and {grow[1]}"
        )
        with pytest.raises(VolumeError, match=found):
            prepared(tmp_path / "flat.nii", ARRAY, affine)
