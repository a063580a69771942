"""One subject's thorax from its numbers: tissues painted from the skin inwards, then scanned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medgenesis.datasets.phantom import organs, skeleton, wall
from medgenesis.datasets.phantom.canvas import Canvas
from medgenesis.datasets.phantom.labels import VALUES
from medgenesis.datasets.phantom.lungs import Chest, chest, fissures, fluid, grow_trees, without_islands
from medgenesis.datasets.phantom.nodules import Lump, Nodule, draw_lumps, lump
from medgenesis.datasets.phantom.scanner import scan, texture
from medgenesis.datasets.phantom.space import Grid, Space
from medgenesis.datasets.phantom.subject import Subject, draw_subject, stream
from medgenesis.errors import VolumeError

SHAPE = (128, 128, 128)


@dataclass(frozen=True)
class Phantom:
    """A computed chest CT with its truth.

    Attributes:
        image: (X, Y, Z) int16 HU; the axes grow to the patient's Left, Posterior, Superior.
        label: (X, Y, Z) uint8, values of `LABELS`.
        affine: (4, 4) voxel index -> world mm (RAS+, as nibabel has it).
        nodules: those that lie in the volume.
        subject: the numbers that it was made from.
    """

    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray
    nodules: tuple[Nodule, ...]
    subject: Subject

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edges of a voxel in mm."""
        return tuple(float(v) for v in np.linalg.norm(self.affine[:3, :3], axis=0))


def make_phantom(seed: int, subject: int = 0, *, shape: Sequence[int] = SHAPE) -> Phantom:
    """Compute one subject of the population `seed`.

    The field of view is the same for every shape, so a smaller shape is the same thorax on a coarser grid.

    Args:
        seed: names the population.
        subject: index within it; a subject depends on (seed, subject) alone.
        shape: voxels along Left, Posterior, Superior, each at least 16.

    Raises:
        VolumeError: shape is not three numbers of at least 16, or seed or subject is negative.
    """
    numbers = draw_subject(seed, subject)
    grid = Grid.of(numbers, checked_shape(shape))
    canvas = Canvas(grid)
    parts = chest(grid, numbers)
    paint_wall(canvas, numbers, parts)
    paint_abdomen(canvas, numbers, parts)
    paint_mediastinum(canvas, numbers, parts)
    paint_lungs(canvas, numbers, parts)
    paint_bones(canvas, numbers, parts)
    lumps = draw_lumps(numbers)
    for nodule in lumps:
        paint_nodule(canvas, nodule)
    image = scan(canvas.hu, numbers.noise_hu, stream(numbers, "noise"))
    affine = affine_of(grid, numbers)
    return Phantom(image, canvas.label, affine, tuple(_in_world(grid, affine, n) for n in lumps), numbers)


def checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """The shape as three ints; VolumeError where it cannot hold a thorax."""
    shape = tuple(int(n) for n in shape)
    if len(shape) != 3 or min(shape) < 16:
        raise VolumeError(
            f"shape: must be three numbers of at least 16; found {shape}. Give (48, 48, 40), a small one, or more."
        )
    return shape


def affine_of(grid: Grid, subject: Subject) -> np.ndarray:
    """The voxels' affine: axes L, P, S; the table's position differs a little between subjects."""
    origin = stream(subject, "table").uniform((-12, -20, -400), (12, 20, -100))
    affine = np.diag([*(grid.spacing_mm * (-1, -1, 1)), 1.0])
    affine[:3, 3] = np.round(origin - affine[:3, :3] @ grid.middle, 2)
    return affine


def _in_world(grid: Grid, affine: np.ndarray, nodule: Lump) -> Nodule:
    voxel = grid.voxels(nodule.centre_mm)
    diameter = 2 * nodule.radius_mm * float(np.prod(grid.warp.subject.scale)) ** (1 / 3)
    return Nodule(tuple(float(v) for v in affine[:3, :3] @ voxel + affine[:3, 3]), diameter, nodule.hu)


def paint_wall(canvas: Canvas, subject: Subject, parts: Chest) -> None:
    """Skin, fat, muscle, and the fat that fills the cage."""
    grid = canvas.grid
    streaks = texture(grid.shape, grid.voxel_mm, 5, stream(subject, "fibres"))
    body = wall.skin(grid, subject)
    canvas.paint(..., body, 20)
    canvas.paint(..., body + 2.5, -103 + 5 * streaks)
    flesh = np.maximum(wall.muscle(grid, subject), body + 4)
    canvas.paint(..., flesh, 54 + 4 * streaks - 45 * np.clip(streaks - 1.2, 0, 1))  # fat between the fibres
    canvas.paint(..., np.maximum(wall.fat_planes(grid, parts.cage), flesh + 4), -95)
    canvas.paint(..., parts.cage + 1, -92 + 6 * streaks)


def paint_abdomen(canvas: Canvas, subject: Subject, parts: Chest) -> None:
    """The diaphragm and what lies under it."""
    where, part = canvas.grid.window((-130, -110, -190), (130, 110, -60))
    cage, floor = parts.cage[where], parts.diaphragm[where]
    canvas.paint(where, np.maximum(cage, np.abs(floor + 0.5) - 1.8), 45)
    under = np.maximum(cage, -floor)
    canvas.paint(where, organs.liver(part, subject, under), subject.liver_hu, "liver")
    canvas.paint(where, organs.spleen(part, subject, under), 50, "spleen")
    bag = organs.stomach(part, subject, under)
    canvas.paint(where, bag, 42, "stomach")
    air = part.y + 12 - 40 * (subject.stomach_air - 0.45)
    canvas.paint(where, bag + 4, 18 - 978 * canvas.share(air))


def paint_mediastinum(canvas: Canvas, subject: Subject, parts: Chest) -> None:
    """Heart, great vessels, oesophagus, trachea and main bronchi."""
    where, part = canvas.grid.window((-95, -110, -190), (130, 110, 190))
    canvas.paint(where, parts.heart[where], 44, "heart")
    canvas.paint(where, organs.vessels(part), 40)
    canvas.paint(where, organs.aorta(part, subject), 42, "aorta")
    canvas.paint(where, organs.oesophagus(part), 38)
    lumen = organs.airway(part)
    canvas.paint(where, lumen - 1.8, 35)
    canvas.paint(where, lumen, -1000, "airways")


def paint_lungs(canvas: Canvas, subject: Subject, parts: Chest) -> None:
    """Lung tissue, fissures, vessels, airways, pleural fluid."""
    where, part = canvas.grid.window((-130, -105, -190), (130, 105, 140))
    lungs = parts.lungs[where].copy()
    for side, index, name in ((-1, 0, "right_lung"), (1, 1, "left_lung")):
        mine = part.x * side
        if subject.effusion_mm[index]:
            level = fluid(part, subject, side)
            wet = np.maximum(np.maximum(lungs, level), -mine)
            canvas.paint(where, wet, 12, "pleural_effusion")
            lungs = np.where(mine > 0, np.maximum(lungs, -level), lungs)
        lungs = without_islands(lungs, mine > 0)
        canvas.label[where][(lungs < 0) & (mine > 0)] = VALUES[name]
    share = canvas.share(lungs)
    grain = texture(part.shape, canvas.grid.voxel_mm, 3, stream(subject, "lungs"))
    gravity = np.float32(0.35) * part.y + np.float32(-0.12) * part.z
    canvas.blend(where, share, subject.lung_hu + gravity + 9 * grain)
    width = canvas.grid.voxel_mm
    canvas.blend(where, share * np.clip(1 - fissures(part) / width, 0, 1) * min(0.7 / width, 1), -100)
    vessels, airways = grow_trees(subject)
    canvas.blend(where, share * canvas.thin_tubes(vessels)[where], 40)
    canvas.blend(where, share * canvas.thin_tubes(airways, 0.9)[where] * 0.7, 30)
    lumen = canvas.thin_tubes(airways)[where]
    canvas.blend(where, share * lumen, -990)
    canvas.label[where][(lumen > 0.5) & (lungs < 0)] = VALUES["airways"]


def paint_bones(canvas: Canvas, subject: Subject, parts: Chest) -> None:
    """Spine, cartilages, ribs, sternum, shoulder girdle; each a dense shell round looser marrow."""
    where, part = canvas.grid.window((-60, -20, -190), (60, 140, 190))
    bone, column, canal = skeleton.spine(part)
    canvas.paint(where, column, 70)
    canvas.paint(where, canal, 25)
    canvas.paint(where, bone, 520 * subject.bone)
    canvas.paint(where, bone + 2.4, 190 * subject.bone)
    canvas.label[where][(column < 0) | (bone < 0) | (canal < 0)] = VALUES["spine"]
    canvas.paint(where, canal, 25)
    shell = np.flatnonzero((parts.cage > -4) & (parts.cage < 32))
    space = canvas.grid
    flat = Space(*(np.broadcast_to(c, space.shape).reshape(-1)[shell] for c in (space.x, space.y, space.z)))
    cage = parts.cage.reshape(-1)[shell]
    angle = wall.cage_angle(flat)
    rib, cartilage = skeleton.ribs(flat, subject, cage, angle)
    canvas.paint_flat(shell, cartilage, 95)
    canvas.paint_flat(shell, rib, 1150 * subject.bone, "ribs")
    canvas.paint_flat(shell, rib + 1.9, 330 * subject.bone)
    plate = skeleton.sternum(flat, cage)
    canvas.paint_flat(shell, plate, 350 * subject.bone, "sternum")
    canvas.paint_flat(shell, plate + 1.6, 140 * subject.bone)
    canvas.paint_flat(shell, skeleton.scapulae(flat, cage, angle), 550 * subject.bone, "scapulae")
    for field, name in ((skeleton.scapular_processes, "scapulae"), (skeleton.clavicles, "clavicles")):
        where, part = canvas.grid.window((-165, -90, 55), (165, 120, 135))
        distance = field(part)
        canvas.paint(where, distance, 1100 * subject.bone, name)
        canvas.paint(where, distance + 2.4, 300 * subject.bone)


def paint_nodule(canvas: Canvas, nodule: Lump) -> None:
    """One nodule, over whatever it has grown into."""
    reach = 1.4 * nodule.radius_mm + 3
    where, part = canvas.grid.window(nodule.centre_mm - reach, nodule.centre_mm + reach)
    canvas.paint(where, lump(part, nodule), nodule.hu, "nodule")
