"""Bones: spine, ribs with their cartilages, sternum, clavicles, scapulae."""

import numpy as np

from medgenesis.datasets.phantom.shapes import FAR_MM, tube
from medgenesis.datasets.phantom.space import Space
from medgenesis.datasets.phantom.subject import Subject

# For the ribs 1 to 12: how far the bone falls from its head to its front end (mm), the angle round the cage at which
# it ends (rad), and the height of its cartilage at the sternum (mm; the false ribs lean on the one above).
RIB_FALL_MM = (32, 44, 54, 61, 66, 70, 73, 75, 70, 58, 40, 26)
RIB_END_RAD = (2.40, 2.50, 2.52, 2.50, 2.45, 2.36, 2.26, 2.12, 2.00, 1.85, 1.45, 1.00)
CARTILAGE_MM = (88, 64, 44, 26, 10, -4, -14, -40, -62, -86, None, None)
RIB_DEPTH_MM = 5.5
"""Depth of a rib's middle outside the inner face of the cage."""


def vertebra_height(level: np.ndarray | float) -> np.ndarray | float:
    """Height (mm) of the middle of thoracic vertebra `level` (1 to 12; the neck below 1, the loins above 12)."""
    k = level - 1
    return 126 - 20 * k - 0.16 * k * k


def vertebra_level(z: np.ndarray) -> np.ndarray:
    """Inverse of vertebra_height."""
    return 1 + (-20 + np.sqrt(400 + 0.64 * (126 - z))) / 0.32


def spine_y(z: np.ndarray) -> np.ndarray:
    """Middle of the vertebral bodies (mm): the thoracic kyphosis."""
    return np.interp(
        z, (-200, -150, -100, -50, 0, 50, 90, 125, 160, 190), (48, 55, 62, 67, 69, 65, 57, 46, 36, 33)
    ).astype(np.float32)


def spine(space: Space) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances to the vertebrae, to their bodies with the discs, and to the spinal canal (mm)."""
    z = space.z
    level = vertebra_level(z)
    phase = level - np.round(level)  # within a vertebra, -0.5 above to 0.5 below
    height = 20 + 0.32 * (level - 1)
    growth = (14 + 0.55 * (level - 1)).astype(np.float32)  # half width of a body
    y = space.y - spine_y(z)
    waist = 1 - 0.12 * np.cos(2 * np.pi * phase)
    body = (np.sqrt((space.x / growth) ** 2 + (y / (growth * 0.85)) ** 2) - waist) * (growth * 0.9)
    column = body - 0.5
    disc = (np.abs(np.abs(phase) - 0.5) - 0.11) * height  # negative within a disc
    behind = y - growth * 0.85 - 7.5
    canal = np.sqrt(space.x**2 + behind**2) - 8
    arch_band = (np.abs(phase - 0.05) - 0.38) * height
    arch = np.maximum(np.abs(canal - 2.5) - 2.2, arch_band)
    sag = (phase * height - 6 - 0.55 * (behind - 10)).astype(np.float32)  # spinous processes slope down
    spinous = np.maximum(np.maximum(np.abs(space.x) - 3, np.abs(sag) - 4.5), np.abs(behind - 22) - 13)
    reach = np.abs(space.x) - 22
    transverse = np.sqrt((behind + 1 - 0.35 * (np.abs(space.x) - 10)) ** 2 + (phase * height) ** 2) - 4.8
    transverse = np.maximum(transverse, np.abs(reach) - 12)
    bone = np.maximum(body, -disc)
    bone = np.minimum(np.minimum(bone, arch), np.minimum(spinous, transverse))
    return np.maximum(bone, -canal), column, canal


def ribs(space: Space, subject: Subject, cage: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the bony ribs and to their cartilages (mm).

    Args:
        space: points near the cage, flat.
        subject: its `rib_drop` scales the fall of the ribs.
        cage: distance to the inner face of the cage there (mm).
        angle: angle round the cage there (rad).
    """
    bone = np.full(space.shape, FAR_MM, dtype=np.float32)
    cartilage = np.full(space.shape, FAR_MM, dtype=np.float32)
    across = (cage - RIB_DEPTH_MM) / 3.6
    for k in range(12):
        top, fall, end = vertebra_height(k + 1), RIB_FALL_MM[k] * subject.rib_drop, RIB_END_RAD[k]
        near = np.flatnonzero((space.z < top + 14) & (space.z > top - fall - 14))
        t = angle[near] / end
        bend = np.minimum(t, 1)
        height = top - fall * (0.45 * bend + 0.55 * bend * bend * (3 - 2 * bend))
        off = (space.z[near] - height) * np.float32(0.88) / 6.0
        solid = (np.sqrt(off * off + across[near] ** 2) - 1) * np.float32(4.6)
        solid = np.maximum(solid, np.maximum((t - 1) * (end * 90), 19 - np.abs(space.x[near])))
        bone[near] = np.minimum(bone[near], solid)
        if CARTILAGE_MM[k] is None:
            continue
        near = np.flatnonzero((angle > end - 0.1) & (space.z < CARTILAGE_MM[k] + 60) & (space.z > top - fall - 14))
        t = np.clip((angle[near] - end) / (3.02 - end), 0, 1)
        height = (top - fall) + (CARTILAGE_MM[k] - (top - fall)) * t * t
        off = (space.z[near] - height) / 6.5
        solid = (np.sqrt(off * off * 0.7 + (across[near] * 0.9) ** 2) - 1) * np.float32(5)
        stop = (angle[near] - (3.05 if k < 7 else 2.75)) * 85
        cartilage[near] = np.minimum(cartilage[near], np.maximum(solid, stop))
    return bone, cartilage


def sternum(space: Space, cage: np.ndarray) -> np.ndarray:
    """Distance to the sternum: manubrium, body, a gap of cartilage between them at the second rib."""
    z = space.z
    width = np.interp(z, (-40, -25, -15, 20, 55, 64, 70, 84, 95), (4, 7, 17, 17, 13, 12, 19, 27, 24)).astype(np.float32)
    plate = np.maximum(np.abs(cage - 6) - 5, np.abs(space.x) - width)
    plate = np.maximum(plate, np.abs(z - 27.5) - 67.5)
    plate = np.where(space.y < 0, plate, FAR_MM)
    return np.maximum(plate, 1.2 - np.abs(z - 64))


def clavicles(space: Space) -> np.ndarray:
    """Distance to the two clavicles, S-shaped, from the manubrium to the shoulders."""
    paths = [
        [(s * 20, -52, 94, 8), (s * 55, -52, 100, 6.5), (s * 92, -24, 105, 6), (s * 122, 4, 103, 7)] for s in (-1, 1)
    ]
    return np.minimum(*(tube(space, path) for path in paths))


def scapulae(space: Space, cage: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Distance to the shoulder blades: thin triangular plates with a thicker outer edge (flat points)."""
    z, x = space.z, np.abs(space.x)
    plate = np.abs(cage - 19 - 0.02 * (z - 60)) - 1.8
    medial = (72 + 0.12 * (z - 0) - x) * 0.9  # edges of the triangle
    lateral = (x - (98 + 0.5 * (z + 10))) * 0.85
    plate = np.maximum(plate, np.maximum(np.maximum(medial, lateral), np.abs(z - 52) - 62))
    plate = np.where(angle < 1.6, plate, FAR_MM)
    rim = np.maximum(np.abs(lateral + 3) - 3.5, np.maximum(np.abs(cage - 20) - 3.5, np.abs(z - 45) - 55))
    rim = np.where(angle < 1.6, rim, FAR_MM)
    return np.minimum(plate, rim)


def scapular_processes(space: Space) -> np.ndarray:
    """Distance to the spines of the scapulae and their acromial ends."""
    paths = [[(s * 82, 92, 70, 3), (s * 110, 84, 88, 4), (s * 128, 52, 96, 6), (s * 128, 20, 99, 7)] for s in (-1, 1)]
    return np.minimum(*(tube(space, path) for path in paths))
