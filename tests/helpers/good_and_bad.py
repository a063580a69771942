"""Volumes that a check accepts, and one for each reason why it does not."""

import numpy as np

from medgenesis.data import ForegroundCriterion, RandAcceptedCropd

CUT = RandAcceptedCropd("image", (6, 6, 6), ForegroundCriterion(min_fraction=0.6))


def good_and_bad(write_nifti):
    """Name -> record: `good` and `half` pass the check of `CUT`, the others do not."""
    rng = np.random.default_rng(0)
    good = (rng.normal(size=(12, 12, 12)) * 300).astype(np.float32)
    air = np.full((12, 12, 12), -1000, np.float32)
    air[:2, :2, :2] = 0
    half_air = good.copy()
    half_air[6:] = -1024
    holes = good.copy()
    holes[0] = np.nan
    volumes = {"good": good, "half": half_air, "air": air, "nan": holes, "z": good / 300, "thin": good[..., :3]}
    records = {name: {"image": write_nifti(f"{name}.nii", volume)} for name, volume in volumes.items()}
    return {**records, "absent": {"image": "/nowhere/absent.nii"}}
