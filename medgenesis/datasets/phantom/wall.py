"""The torso's shells: skin, muscle, the inner face of the rib cage, the diaphragm."""

import numpy as np

from medgenesis.datasets.phantom.shapes import ellipsoid, smooth_union
from medgenesis.datasets.phantom.space import Space
from medgenesis.datasets.phantom.subject import Subject

# Rows: height z, half width, front y, back y (mm); measured on adult chest CT, arms raised.
CAGE_MM = np.array(
    [
        (-200, 112, -72, 84),
        (-145, 116, -76, 86),
        (-100, 118, -82, 87),
        (-40, 117, -88, 89),
        (0, 114, -87, 87),
        (40, 110, -84, 82),
        (70, 104, -76, 73),
        (90, 94, -64, 64),
        (105, 80, -46, 54),
        (117, 62, -28, 45),
        (125, 42, -12, 37),
        (130, 22, 0, 27),
        (132, 8, 6, 18),
    ]
)
MUSCLE_MM = np.array(
    [
        (-200, 136, -88, 112),
        (-120, 138, -97, 114),
        (-40, 137, -104, 116),
        (0, 139, -104, 117),
        (40, 146, -101, 116),
        (70, 152, -94, 113),
        (100, 156, -78, 107),
        (125, 158, -54, 94),
        (170, 156, -44, 90),
    ]
)


def _profile(table: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Half width, half depth, middle y and the slope's cosine at heights z, each of z's shape."""
    fine = np.linspace(table[0, 0], table[-1, 0], 256)
    columns = [np.interp(fine, table[:, 0], column) for column in table[:, 1:].T]
    kernel = np.hanning(15) / np.hanning(15).sum()
    columns = [np.convolve(np.pad(c, 7, mode="edge"), kernel, mode="valid") for c in columns]
    slope = np.gradient(columns[0], fine)
    columns.append(1 / np.sqrt(1 + slope**2))
    half, front, back, cosine = (np.interp(z, fine, c).astype(np.float32) for c in columns)
    return half, (back - front) / 2, (back + front) / 2, cosine


def _shell(space: Space, profile: tuple[np.ndarray, ...], squareness: float) -> np.ndarray:
    """Distance to a stack of rounded outlines u^4 + v^4 + (2 - squareness) u^2 v^2 = 1, along the radius."""
    half, depth, middle, cosine = profile
    y = space.y - middle
    u, v = (space.x * (1 / half)) ** 2, (y * (1 / depth)) ** 2
    rho = np.sqrt(np.sqrt(u * u + v * v + np.float32(2 - squareness) * (u * v)))
    radius = np.sqrt(space.x**2 + y * y)
    return radius * cosine * (1 - 1 / np.maximum(rho, np.float32(1e-3)))


def cage(space: Space) -> np.ndarray:
    """Distance to the inner face of the rib cage, closed by the dome of the pleura above."""
    field = _shell(space, _profile(CAGE_MM, space.z), 0.7)
    return np.maximum(field, space.z - 132)


def cage_angle(space: Space) -> np.ndarray:
    """Angle (rad) round the cage: 0 at the back, pi at the front, alike on both sides."""
    half, depth, middle, _ = _profile(CAGE_MM, space.z)
    return np.arctan2(np.abs(space.x) / half, (space.y - middle) / depth)


def _torso(space: Space, grow_mm: float, neck_mm: float) -> np.ndarray:
    """Distance to the torso with sloping shoulders and a neck, its outline `grow_mm` outside the muscle's."""
    half, depth, middle, cosine = _profile(MUSCLE_MM, space.z)
    front = np.float32(0.25 * max(grow_mm, 0))  # fat gathers in front and at the sides, not over the spine
    shell = _shell(space, (half + grow_mm, depth + 0.85 * grow_mm, middle - front * 0.6, cosine), 0.75)
    shoulder = (space.z + 0.42 * np.abs(space.x) - (171 + 0.8 * grow_mm)) * np.float32(0.92)
    fillet = np.maximum(30 - np.abs(shell - shoulder), 0)
    torso = np.maximum(shell, shoulder) + fillet * fillet * np.float32(0.25 / 30)
    neck = np.sqrt(space.x**2 + (space.y - 18) ** 2) - np.float32(neck_mm + 0.5 * grow_mm)
    return smooth_union(torso, np.maximum(neck, 90 - space.z), 30)


def muscle(space: Space, subject: Subject) -> np.ndarray:
    """Distance to the outer face of the chest wall's muscle."""
    return _torso(space, subject.muscle_mm, 54)


def skin(space: Space, subject: Subject) -> np.ndarray:
    """Distance to the skin."""
    field = _torso(space, subject.muscle_mm + subject.fat_mm, 56)
    if subject.female:
        for side in (-1, 1):
            centre = (side * 78, -88 - 0.5 * subject.fat_mm, 5)
            size = subject.breast_mm
            where, part = space.window(np.subtract(centre, (80, 60, 80)), np.add(centre, (80, 60, 80)))
            breast = ellipsoid(part, centre, (44 + size, 18 + 1.3 * size, 46 + size))
            field[where] = smooth_union(field[where], breast, 25)
    return field


def diaphragm(space: Space, subject: Subject) -> np.ndarray:
    """Distance to the diaphragm, negative above it (in the chest): two domes, the right one higher."""
    heights = []
    for side, lower in ((-1, 0.0), (1, subject.dome_difference_mm)):
        out = space.x * side - 60
        lateral = np.where(out > 0, 42 * (out / 55) ** 2, 8 * (out / 60) ** 2)
        y = space.y + 8
        depth = np.where(y > 0, 50 * (y / 92) ** 2, 13 * (y / 78) ** 2)
        heights.append(-82 - subject.breath_mm - lower - lateral - depth)
    top = -smooth_union(-heights[0], -heights[1], 20)
    slope = np.sqrt(1 + (np.clip(space.y + 8, 0, 90) / 85) ** 2 + (np.clip(np.abs(space.x) - 60, 0, 60) / 40) ** 2)
    return (top - space.z) / slope


def fat_planes(space: Space, cage_mm: np.ndarray) -> np.ndarray:
    """Distance to the fat between the chest wall's muscles: a sheet under the shoulder blades, the two armpits.

    Args:
        space: where to evaluate.
        cage_mm: distance to the inner face of the cage there.
    """
    wave = np.sin(space.z * np.float32(0.06) + space.x * np.float32(0.05))
    sheet = np.abs(cage_mm - (15 + 2 * np.sin(space.z * np.float32(0.08)))) - np.float32(0.8) * (1 + wave)
    sheet = np.maximum(sheet, np.maximum(np.abs(space.z - 55) - 60, 50 - np.abs(space.x)))
    for side in (-1, 1):
        where, part = space.window((side * 128 - 40, -70, 20), (side * 128 + 40, 60, 150))
        armpit = ellipsoid(part, (side * 126, -12, 78), (12, 22, 36), (0.25 * side, 0.1, 0.97))
        sheet[where] = np.minimum(sheet[where], armpit)
    return sheet
