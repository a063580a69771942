"""Soft organs of the mediastinum and the upper abdomen."""

import numpy as np

from medgenesis.datasets.phantom.shapes import ellipsoid, smooth_union, tube
from medgenesis.datasets.phantom.skeleton import spine_y
from medgenesis.datasets.phantom.space import Space
from medgenesis.datasets.phantom.subject import Subject

HEART_MM = (12.0, -26.0, -42.0)
"""Middle of the template's heart."""
# Centre, semi-axes, long axis of the four chambers with their walls (mm).
CHAMBERS = (
    ((28, -26, -54), (46, 41, 45), (0.64, -0.56, -0.53)),
    ((7, -44, -55), (37, 37, 44), (0.76, -0.28, -0.58)),
    ((-11, -22, -43), (23, 37, 43), None),
    ((6, 9, -13), (31, 25, 30), None),
)
# Paths: x, y, z, radius (mm).
AORTA = (
    (2, -18, -12, 15), (-12, -32, 18, 16), (-13, -28, 46, 15.5), (-4, -12, 66, 14.5), (9, 8, 71, 13.5),
    (20, 28, 62, 13), (25, 44, 42, 12.5), (25, 48, 5, 12), (22, 48, -45, 11.5), (15, 44, -95, 11),
    (8, 38, -135, 10.5), (4, 32, -190, 10),
)  # fmt: skip
PULMONARY = (
    ((20, -46, -14, 14), (24, -32, 20, 14), (18, -14, 36, 13), (-8, -4, 32, 11), (-42, 5, 22, 8)),
    ((22, -22, 32, 13), (36, 4, 40, 11.5), (46, 15, 28, 9)),
)
VENA_CAVA = (
    ((-30, -16, -12, 10), (-29, -20, 30, 9), (-27, -24, 66, 8.5), (-28, -20, 84, 7)),
    ((-27, -24, 74, 7.5), (0, -40, 82, 7), (28, -36, 98, 6.5), (40, -24, 125, 5)),
    ((-28, -20, 82, 7), (-36, -20, 104, 6.5), (-40, -18, 130, 5)),
    ((-24, 2, -55, 12), (-25, 14, -90, 12), (-22, 24, -130, 11), (-20, 26, -190, 11)),
)
ARCH_BRANCHES = (
    ((-4, -12, 70, 6.5), (-16, -8, 98, 6), (-24, 2, 130, 4.5), (-28, 6, 175, 3.5)),
    ((8, 4, 76, 4.5), (18, 2, 110, 4), (24, 8, 140, 3.5), (27, 8, 175, 3.5)),
    ((18, 22, 68, 5.5), (30, 20, 105, 5), (48, 14, 124, 4.5), (85, 0, 118, 4)),
)
VEINS_OF_LEFT_ATRIUM = (
    ((-14, 8, -4, 7), (-34, 6, 4, 5.5)), ((-14, 12, -16, 7), (-36, 14, -18, 5.5)),
    ((26, 8, -2, 7), (42, 8, 6, 5.5)), ((26, 12, -16, 7), (42, 16, -18, 5.5)),
)  # fmt: skip
OESOPHAGUS = ((2, 26, 190, 6), (3, 33, 110, 6.5), (4, 38, 60, 7), (6, 34, 0, 7), (16, 30, -60, 7.5), (34, 12, -98, 9))
TRACHEA = ((0, 4, 190, 8.5), (1, 10, 120, 8.5), (2, 20, 80, 8.5), (3, 25, 52, 9))
BRONCHI = (
    ((3, 25, 50, 8), (-14, 25, 36, 7.5), (-36, 18, 20, 6)),
    ((3, 25, 50, 7.5), (22, 25, 36, 6.5), (44, 22, 18, 5.5)),
)


def scaled(path: tuple, factor: float) -> np.ndarray:
    """The same path with its radii times `factor`."""
    return np.asarray(path, dtype=np.float64) * (1, 1, 1, factor)


def heart(space: Space, subject: Subject) -> np.ndarray:
    """Distance to the heart: four chambers grown together, scaled, shifted and turned about its middle."""
    c, t = np.cos(subject.heart_turn_rad), np.sin(subject.heart_turn_rad)
    turn = np.array([[c, -t, 0], [t, c, 0], [0, 0, 1]])
    middle = np.add(HEART_MM, subject.heart_shift_mm) - (0, 0, 0.6 * subject.breath_mm)  # it rides on the diaphragm
    field = None
    for centre, radii, axis in CHAMBERS:
        place = turn @ (np.subtract(centre, HEART_MM) * subject.heart_scale) + middle
        chamber = ellipsoid(
            space, place, np.multiply(radii, subject.heart_scale), None if axis is None else turn @ np.asarray(axis)
        )
        field = chamber if field is None else smooth_union(field, chamber, 14)
    return field


def vessels(space: Space, reach_mm: float = 4.0) -> np.ndarray:
    """Distance to the great vessels other than the aorta."""
    paths = [*PULMONARY, *VENA_CAVA, *ARCH_BRANCHES, *VEINS_OF_LEFT_ATRIUM]
    return np.minimum.reduce([tube(space, path, reach_mm) for path in paths])


def aorta(space: Space, subject: Subject, reach_mm: float = 4.0) -> np.ndarray:
    """Distance to the aorta, from the valve over the arch to the diaphragm and below."""
    return tube(space, scaled(AORTA, subject.aorta_scale), reach_mm)


def airway(space: Space, reach_mm: float = 4.0) -> np.ndarray:
    """Distance to the lumen of trachea and main bronchi."""
    return np.minimum.reduce([tube(space, path, reach_mm) for path in (TRACHEA, *BRONCHI)])


def oesophagus(space: Space, reach_mm: float = 4.0) -> np.ndarray:
    """Distance to the oesophagus."""
    return tube(space, OESOPHAGUS, reach_mm)


def mediastinum(space: Space, subject: Subject, heart_mm: np.ndarray) -> np.ndarray:
    """Distance to all that lies between the lungs: heart, vessels, airways, spine, and the fat that binds them.

    Args:
        space: where to evaluate.
        subject: its `mediastinal_fat_mm` is the width of the fillets.
        heart_mm: distance to the heart there.
    """
    fat = subject.mediastinal_fat_mm
    level = np.interp(space.z, (-200, 132), (17.5, 12.5)).astype(np.float32)
    back = np.sqrt(space.x**2 + ((space.y - spine_y(space.z) - 1) * np.float32(1.05)) ** 2) - level - 4
    arch = np.maximum(np.abs(space.x) - 20, spine_y(space.z) + 4 - space.y)
    width = np.interp(space.z, (-95, -60, 30, 60, 90, 110), (16, 4, 3, 5, 14, 22)).astype(np.float32)
    lines = np.abs(space.x - 3) - width
    field = smooth_union(heart_mm - 2.5, np.minimum(back, arch), fat)
    for part, margin in (
        (aorta(space, subject, 22), 2.5),
        (vessels(space, 22), 1.5),
        (airway(space, 22), 3.5),
        (oesophagus(space, 22), 1.0),
    ):
        field = smooth_union(field, part - np.float32(margin), fat)
    return smooth_union(field, lines, 0.7 * fat)


def liver(space: Space, subject: Subject, under: np.ndarray) -> np.ndarray:
    """Distance to the liver.

    Args:
        space: where to evaluate.
        subject: its `liver_mm` is how far the organ reaches to the left and back.
        under: distance to the room below the diaphragm within the cage (mm, negative inside).
    """
    y = space.y + 20
    edge = 0.80 * space.x + 0.52 * y + 0.10 * (space.z + 100) - (34 + subject.liver_mm)
    edge = edge + 10 * np.sin(space.x * np.float32(0.045) + 0.6) * np.cos(y * np.float32(0.035))
    tip = 0.95 * space.x - 0.15 * y - 0.3 * (space.z + 120) - 62
    return np.maximum(np.maximum(under + 0.5, edge), tip)


def spleen(space: Space, subject: Subject, under: np.ndarray) -> np.ndarray:
    """Distance to the spleen: a crescent behind and beside the stomach, under the left dome."""
    s = subject.spleen_scale
    bulge = ellipsoid(space, (84, 42, -138 - subject.breath_mm), (52 * s, 34 * s, 46 * s), (-0.45, 0.85, 0.25))
    hollow = ellipsoid(space, (46, 0, -140), (40, 44, 70))
    return np.maximum(np.maximum(bulge, under + np.float32(0.8)), 3 - hollow)


def stomach(space: Space, subject: Subject, under: np.ndarray) -> np.ndarray:
    """Distance to the stomach's outer face: its fundus lies under the left dome."""
    s = subject.stomach_scale
    return np.maximum(
        ellipsoid(space, (56, -12, -140 - subject.breath_mm), (40 * s, 42 * s, 48 * s)), under + np.float32(2)
    )
