"""What differs between subjects: one frozen record of numbers, drawn from (seed, index)."""

from dataclasses import dataclass

import numpy as np

from medgenesis.errors import VolumeError


@dataclass(frozen=True)
class Subject:
    """A thorax's own numbers; lengths in mm of the template, angles in rad."""

    female: bool
    scale: tuple[float, float, float]
    turn_rad: float
    shift_mm: tuple[float, float, float]
    bend_mm: tuple[float, float]
    bend_length_mm: tuple[tuple[float, float, float], tuple[float, float, float]]
    bend_phase: tuple[tuple[float, float, float], tuple[float, float, float]]
    fat_mm: float
    muscle_mm: float
    breast_mm: float
    breath_mm: float
    dome_difference_mm: float
    rib_drop: float
    heart_scale: float
    heart_shift_mm: tuple[float, float, float]
    heart_turn_rad: float
    aorta_scale: float
    mediastinal_fat_mm: float
    liver_mm: float
    spleen_scale: float
    stomach_scale: float
    stomach_air: float
    lung_hu: float
    liver_hu: float
    bone: float
    noise_hu: float
    effusion_mm: tuple[float, float]
    entropy: tuple[int, int]
    """Seed of the population and index of the subject: where all its randomness comes from."""


def draw_subject(seed: int, index: int) -> Subject:
    """Draw subject `index` of the population `seed`; no other subject matters to it."""
    if seed < 0 or index < 0:
        raise VolumeError(f"seed and subject: must not be negative; found {seed} and {index}. Give numbers from 0.")
    rng = np.random.default_rng(np.random.SeedSequence((seed, index)))
    female = bool(rng.random() < 0.5)
    size = (0.96 if female else 1.01) * rng.normal(1, 0.02)
    uniform, normal = rng.uniform, lambda sd: float(np.clip(rng.normal(0, sd), -2 * sd, 2 * sd))
    effusion = rng.random(2) < 0.12
    return Subject(
        female=female,
        scale=tuple(float(np.clip(size + normal(0.022), 0.92, 1.06)) for _ in range(3)),
        turn_rad=normal(0.03),
        shift_mm=(normal(4), normal(5), normal(6)),
        bend_mm=(uniform(1.5, 5), uniform(1.5, 4)),
        bend_length_mm=tuple(tuple(uniform(260, 480, 3).tolist()) for _ in range(2)),
        bend_phase=tuple(tuple(uniform(0, 2 * np.pi, 3).tolist()) for _ in range(2)),
        fat_mm=float(np.clip(rng.gamma(4, 3.2), 4, 24)),
        muscle_mm=normal(2) - (3 if female else 0),
        breast_mm=uniform(6, 22) if female else 0.0,
        breath_mm=6 + normal(7),
        dome_difference_mm=uniform(6, 18),
        rib_drop=uniform(0.85, 1.15),
        heart_scale=uniform(0.93, 1.05) if rng.random() < 0.7 else uniform(1.09, 1.22),
        heart_shift_mm=(normal(3), normal(3), normal(3)),
        heart_turn_rad=normal(0.12),
        aorta_scale=uniform(0.9, 1.15),
        mediastinal_fat_mm=uniform(8, 18),
        liver_mm=normal(10),
        spleen_scale=uniform(0.85, 1.2),
        stomach_scale=uniform(0.75, 1.15),
        stomach_air=uniform(0.0, 0.8),
        lung_hu=uniform(-885, -825),
        liver_hu=uniform(50, 63),
        bone=uniform(0.8, 1.15),
        noise_hu=uniform(10, 20),
        effusion_mm=tuple(float(v) for v in np.where(effusion, uniform(40, 75, 2), 0.0)),
        entropy=(seed, index),
    )


def stream(subject: Subject, name: str) -> np.random.Generator:
    """A generator of the subject for one purpose, so that what one step draws moves nothing in another."""
    return np.random.default_rng(np.random.SeedSequence(subject.entropy, spawn_key=tuple(name.encode())))
