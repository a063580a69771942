"""One scan stored in several ways: axes, obliqueness, file format."""

import nibabel as nib
import numpy as np
import SimpleITK as sitk

# of the same scan: how it is stored -> file
STORED_AS = {"lps": ".nii.gz", "ras": ".nrrd", "las": ".mha", "oblique": ".nii"}


def _oblique():
    angle = np.deg2rad(17)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


def stored(image, how):
    if how == "oblique":
        return nib.Nifti1Image(np.asarray(image.dataobj), _oblique() @ image.affine)
    codes = nib.orientations.axcodes2ornt(how.upper())
    return image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), codes))


def write(image, path):
    if path.suffix in (".gz", ".nii"):
        nib.save(image, path)
        return
    lps = np.diag([-1, -1, 1, 1]) @ image.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    out = sitk.GetImageFromArray(np.asarray(image.dataobj).transpose(2, 1, 0))
    out.SetSpacing(spacing.tolist())
    out.SetOrigin(lps[:3, 3].tolist())
    out.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(out, str(path))
