"""The chest X-ray that belongs to a phantom, and what there is to see in it."""

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from medgenesis.datasets.phantom.build import Phantom
from medgenesis.datasets.phantom.labels import VALUES

WATER_PER_MM = 0.0227
"""Attenuation of water at 50 keV, the mean energy of a radiograph."""

BONE_GAIN = 1.5
"""Bone exceeds water by this much more at 50 keV than at the CT's 70 keV (calcium's photoelectric absorption)."""

BONE_HU = 150

PIXEL_MM = 1.25
PHOTONS = 2e5
"""Photons a pixel where nothing stands in their way."""

EFFUSION_ML = 10.0

FINDINGS = ("nodule", "cardiomegaly", "left_effusion", "right_effusion")
"""Those of `xray_labels` that are there or not: the `classes` of an X-ray, in this order."""

ORGANS = {0: "background", 1: "lungs", 2: "heart"}
"""Values of an X-ray's label map."""

_SHADOWS = (
    (1, ("left_lung", "right_lung", "nodule")),
    (0, ("liver", "spleen", "stomach")),  # lungs end at the dome of the diaphragm, as they are drawn on X-rays
    (2, ("heart",)),
)


def project_xray(phantom: Phantom) -> np.ndarray:
    """Line integral of the attenuation along the antero-posterior axis, parallel rays.

    Beer and Lambert: I = I0 exp(-L) with L = sum over a ray of mu_water (1 + HU / 1000) dy; what exceeds 150 HU counts
    1.5 times, as bone does at the lower energy of a radiograph.

    Returns:
        (H, W) = (Z, X) float32 L without unit: the head's side first, the patient's right in the first column, as
        radiographs are read.
    """
    hu = phantom.image.astype(np.float32)
    attenuation = np.maximum(1 + (hu + (BONE_GAIN - 1) * np.maximum(hu - BONE_HU, 0)) / 1000, 0)
    depth_mm = phantom.spacing_mm[1]
    return (attenuation.sum(axis=1) * np.float32(WATER_PER_MM * depth_mm)).T[::-1].copy()


def expose(line_integral: np.ndarray, spacing_mm: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Turn line integrals into a radiograph: detector pixels, photon noise, detail, grey levels.

    Args:
        line_integral: (H, W), as `project_xray` gives it.
        spacing_mm: height and width of its pixels in mm.
        rng: source of the photon noise.

    Returns:
        (H', W') uint8 with square pixels of 1.25 mm; bone is white.
    """
    detector = zoom(line_integral, np.asarray(spacing_mm) / PIXEL_MM, order=3, mode="nearest", grid_mode=True)
    counts = rng.poisson(PHOTONS * np.exp(-np.maximum(detector, 0)))
    xray = -np.log(np.maximum(counts, 1) / PHOTONS)
    detail = xray - gaussian_filter(xray, 12 / PIXEL_MM)
    xray = xray + 1.5 * detail
    low, high = np.percentile(xray, (6, 99.5))
    return np.rint(255 * np.clip((xray - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)


def project_organs(phantom: Phantom) -> np.ndarray:
    """The shadows of the organs on the X-ray: the heart wherever a ray meets it, the lungs where it meets no organ
    else.

    Returns:
        (H', W') uint8, values of `ORGANS`, on the pixels that `expose` gives.
    """
    height, width = phantom.spacing_mm[2], phantom.spacing_mm[0]
    organs = None
    for value, names in _SHADOWS:
        shadow = np.isin(phantom.label, [VALUES[name] for name in names]).any(axis=1).T[::-1].astype(np.float32)
        shadow = zoom(shadow, np.array((height, width)) / PIXEL_MM, order=1, mode="nearest", grid_mode=True)
        organs = np.zeros(shadow.shape, np.uint8) if organs is None else organs
        organs[shadow >= 0.5] = value
    return organs


def cardiothoracic_ratio(phantom: Phantom) -> float:
    """Width of the heart over the widest inner width of the chest, both as projected (0 without a heart)."""
    label = phantom.label
    heart = np.flatnonzero((label == VALUES["heart"]).any(axis=(1, 2)))
    inner = [VALUES[name] for name in ("left_lung", "right_lung", "pleural_effusion", "nodule")]
    rows = np.isin(label, inner).any(axis=1)
    first, last = rows.argmax(axis=0), rows.shape[0] - 1 - rows[::-1].argmax(axis=0)
    width = int((np.where(rows.any(axis=0), last - first + 1, 0)).max())
    return float(heart[-1] - heart[0] + 1) / width if len(heart) and width else 0.0


def xray_labels(phantom: Phantom) -> dict[str, float | int]:
    """What is in the image: only that which has voxels of its own in the label map."""
    label = phantom.label
    wet = label == VALUES["pleural_effusion"]
    ml = float(np.prod(phantom.spacing_mm)) / 1000
    right = np.flatnonzero((label == VALUES["right_lung"]).any(axis=(1, 2)))
    left = np.flatnonzero((label == VALUES["left_lung"]).any(axis=(1, 2)))
    middle = (right[-1] + left[0] + 1) // 2 if len(right) and len(left) else label.shape[0] // 2
    ratio = cardiothoracic_ratio(phantom)
    return {
        "nodule": int((label == VALUES["nodule"]).any()),
        "cardiomegaly": int(ratio > 0.5),
        "cardiothoracic_ratio": round(ratio, 3),
        "left_effusion": int(wet[middle:].sum() * ml > EFFUSION_ML),
        "right_effusion": int(wet[:middle].sum() * ml > EFFUSION_ML),
    }
