"""Pulmonary nodules: how many, where, how large, and their lumpy shapes."""

from dataclasses import dataclass

import numpy as np

from medgenesis.datasets.phantom.lungs import inside
from medgenesis.datasets.phantom.space import Space
from medgenesis.datasets.phantom.subject import Subject, stream


@dataclass(frozen=True)
class Nodule:
    """One nodule: centre in world mm (RAS+, as the affine has it), mean diameter in mm, density in HU."""

    centre_mm: tuple[float, float, float]
    diameter_mm: float
    hu: float


@dataclass(frozen=True)
class Lump:
    """One nodule in template coordinates: a sphere with three waves on its surface."""

    centre_mm: np.ndarray
    radius_mm: float
    hu: float
    waves: np.ndarray
    """(3, 4): direction and phase of each wave."""


def draw_lumps(subject: Subject) -> list[Lump]:
    """Draw none to four nodules of 8 to 28 mm diameter within the lungs."""
    rng = stream(subject, "nodules")
    count = int(rng.choice(5, p=(0.3, 0.25, 0.22, 0.15, 0.08)))
    places = inside(subject, rng, 800, 5)
    chosen: list[Lump] = []
    for place in places:
        if len(chosen) == count:
            break
        radius = 0.5 * float(np.clip(rng.lognormal(np.log(13), 0.35), 8, 28))
        waves = np.concatenate([rng.normal(0, 1, (3, 3)), rng.uniform(0, 2 * np.pi, (3, 1))], 1)
        hu = float(rng.uniform(-20, 60))
        if all(np.linalg.norm(place - other.centre_mm) > radius + other.radius_mm + 10 for other in chosen):
            chosen.append(Lump(place, radius, hu, waves))
    return chosen


def lump(space: Space, nodule: Lump) -> np.ndarray:
    """Distance to a nodule (mm)."""
    x, y, z = (c - np.float32(m) for c, m in zip((space.x, space.y, space.z), nodule.centre_mm, strict=True))
    r = np.sqrt(x * x + y * y + z * z)
    bumps = sum(np.sin((a * x + b * y + c * z) * np.float32(2 / nodule.radius_mm) + p) for a, b, c, p in nodule.waves)
    return r - np.float32(nodule.radius_mm) * (1 + np.float32(0.06) * bumps)
