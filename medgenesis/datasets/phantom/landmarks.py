"""Where a phantom's radiograph shows what radiologists steer by."""

import numpy as np

from medgenesis.datasets.phantom.build import Phantom
from medgenesis.datasets.phantom.labels import VALUES
from medgenesis.datasets.phantom.lungs import ARTERY_ROOTS_MM
from medgenesis.datasets.phantom.organs import AORTA, BRONCHI
from medgenesis.datasets.phantom.skeleton import spine_y, vertebra_height
from medgenesis.datasets.phantom.space import Warp
from medgenesis.datasets.phantom.xray import PIXEL_MM

TEMPLATE_MM: dict[str, tuple[float, float, float]] = {
    "right_clavicle": (-55, -52, 100),
    "left_clavicle": (55, -52, 100),
    "carina": BRONCHI[0][0][:3],
    "aortic_arch": max(AORTA, key=lambda point: point[2])[:3],
    "right_hilum": ARTERY_ROOTS_MM[-1],
    "left_hilum": ARTERY_ROOTS_MM[1],
    "vertebra_T8": (0, float(spine_y(vertebra_height(8))), vertebra_height(8)),
    "vertebra_T12": (0, float(spine_y(vertebra_height(12))), vertebra_height(12)),
}
"""Points of the template; a subject's own bend, turn and size move them."""

# name: organs, and the direction (to the left, up) in which the projected organ's furthest pixel is sought
EXTREMES: dict[str, tuple[tuple[str, ...], tuple[float, float]]] = {
    "right_apex": (("right_lung",), (0, 1)),
    "left_apex": (("left_lung",), (0, 1)),
    "right_diaphragm": (("liver",), (0, 1)),
    "left_diaphragm": (("spleen", "stomach"), (0, 1)),
    "right_costophrenic_angle": (("right_lung", "pleural_effusion"), (-1, -1)),
    "left_costophrenic_angle": (("left_lung", "pleural_effusion"), (1, -1)),
    "heart_apex": (("heart",), (1, -1)),
}
"""Points of the subject's own label map."""


def xray_landmarks(phantom: Phantom) -> dict[str, tuple[float, float]]:
    """Places (x, y) of landmarks in the X-ray that `expose` makes of `project_xray`: column and row in its pixels.

    Left and right are the patient's. The points of the template are exact on every grid; the extreme points of organs
    are as fine as the label map (the middle of the furthest voxels, where several are as far). What lies outside the
    field of view, and organs without voxels, are left out.
    """
    sides = np.array(phantom.label.shape)
    middle = (sides - 1) / 2
    warp = Warp(phantom.subject)
    voxels = {name: warp.to_patient(point) / phantom.spacing_mm + middle for name, point in TEMPLATE_MM.items()}
    across = {name: voxel[[0, 2]] for name, voxel in voxels.items()}
    for name, (organs, direction) in EXTREMES.items():
        shadow = np.isin(phantom.label, [VALUES[organ] for organ in organs]).any(axis=1)
        if shadow.any():
            across[name] = _furthest(shadow, np.multiply(direction, np.array(phantom.spacing_mm)[[0, 2]]))
    inside = {name: at for name, at in across.items() if ((at >= 0) & (at <= sides[[0, 2]] - 1)).all()}
    return {name: _on_xray(at, phantom) for name, at in inside.items()}


def _furthest(shadow: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Mean place (x, z) of the voxels of a shadow (X, Z) that lie furthest in a direction."""
    places = np.argwhere(shadow)
    reach = places @ direction
    return places[reach > reach.max() - 1e-6].mean(axis=0)


def _on_xray(place: np.ndarray, phantom: Phantom) -> tuple[float, float]:
    """X-ray pixel (x, y) of a voxel (x, z); the X-ray covers the same field, row 0 at the head."""
    sides = np.array(phantom.label.shape)[[0, 2]]
    pixels = np.round(sides * np.array(phantom.spacing_mm)[[0, 2]] / PIXEL_MM)
    turned = np.array([place[0], sides[1] - 1 - place[1]])
    return tuple(((turned + 0.5) * pixels / sides - 0.5).tolist())
