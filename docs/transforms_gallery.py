"""Draw what each transform does to a computed thorax: python docs/transforms_gallery.py [--out folder] [--seed n].

One image a transform: the middle slice as it was, then three draws. All of it is computed; no patient's data.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.transforms import ScaleIntensityRange
from PIL import Image, ImageDraw, ImageFont

from medgenesis.datasets.phantom import LABELS, make_phantom
from medgenesis.report import overlay
from medgenesis.report.label_overlay import contour_around
from medgenesis.report.planes import MARGIN_GREY
from medgenesis.transforms import (
    RandAnatomyCell,
    RandCAiDDistortion,
    RandGenesis,
    RandInPaint,
    RandInPlaneElastic,
    RandLocalShuffle,
    RandMaskBlocks,
    RandNonlinearIntensity,
    RandOutPaint,
)
from medgenesis.transforms.genesis_presets import PARTS

PANEL = 220  # least width of a slice on the page, pixels
GAP, LINE, LETTER = 10, 22, 14  # pixels: between slices; height of a line of text; of its letters
NAMES = dict(zip(PARTS, ("elastic", "shuffle", "non-linear", "in-painting", "out-painting"), strict=True))
Drawn = tuple[list[np.ndarray], str]  # slices, uint8 (rows, columns, 3), one under the other; a line about them


@dataclass(frozen=True)
class Thorax:
    """A volume (1, X, Y, Z) in [0, 1] that the body fills, and where its lungs are, (X, Y, Z)."""

    volume: torch.Tensor
    lungs: np.ndarray


def thorax(shape: Sequence[int]) -> Thorax:
    """The middle half of a phantom of this shape, cut to the body."""
    phantom, quarter = make_phantom(0, shape=shape), shape[2] // 4
    middle = slice(quarter, shape[2] - quarter)
    body = np.argwhere((phantom.image[:, :, middle] > -300).any(axis=2))
    box = *(slice(low, high + 1) for low, high in zip(body.min(axis=0), body.max(axis=0), strict=True)), middle
    scale = ScaleIntensityRange(-1000, 400, 0, 1, clip=True)
    volume = scale(torch.from_numpy(phantom.image[box].astype(np.float32))[None])
    return Thorax(volume, np.isin(phantom.label[box], [value for value, name in LABELS.items() if "lung" in name]))


def middle_slice(volume: np.ndarray) -> np.ndarray:
    """The middle slice of (X, Y, Z), enlarged by a whole factor to `PANEL`: x to the right and y downwards."""
    plane = volume[:, :, volume.shape[2] // 2].T
    times = -(-PANEL // plane.shape[1])
    return plane.repeat(times, 0).repeat(times, 1)


def grey(volume: torch.Tensor) -> np.ndarray:
    """The slice of a volume (1, X, Y, Z) in [0, 1] as an image."""
    plane = middle_slice(volume[0].numpy())
    return overlay(plane, np.zeros(plane.shape))


def nonlinear(scene: Thorax, seed: int) -> Drawn:
    """With the curve in the corner."""
    transform = RandNonlinearIntensity().set_random_state(seed)
    drawing, side = Image.fromarray(grey(transform(scene.volume))), PANEL // 5
    x, y = transform.params.expand()[0] * (side - 3) + 1
    inset = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(inset).line([*zip(x, side - 1 - y, strict=True)], fill="black", width=2)
    drawing.paste(inset, (0, 0))
    return [np.asarray(drawing)], f"{'falling' if transform.params.decreasing[0] else 'rising'} curve"


def shuffle(scene: Thorax, seed: int, windows: Sequence[int] = (100, 1_000, 10_000)) -> Drawn:
    """A draw of each number of windows in turn."""
    count = windows[seed % len(windows)]
    out = RandLocalShuffle(count).set_random_state(seed)(scene.volume)
    return [grey(out)], f"{count:,} windows: {float((out != scene.volume).float().mean()):.0%} changed"


def painting(make: type[RandInPaint] | type[RandOutPaint]) -> Callable[[Thorax, int], Drawn]:
    def draw(scene: Thorax, seed: int) -> Drawn:
        transform = make().set_random_state(seed)
        out = transform(scene.volume)
        (first, end), at = transform.params.blocks[0].swapaxes(0, 1), scene.volume.shape[3] // 2
        seen = (first[:, 2] <= at) & (at < end[:, 2])
        return [grey(out)], f"{(first < end).all(axis=1).sum()} blocks, {seen.sum()} in this slice"

    return draw


def masking(scene: Thorax, seed: int, ratios: Sequence[float] = (0.6, 0.75, 0.9)) -> Drawn:
    """A draw of each ratio in turn."""
    transform = RandMaskBlocks(ratios[seed % len(ratios)], block_size=8).set_random_state(seed)
    out = transform(scene.volume)
    return [grey(out)], f"{transform.params.hidden.mean():.0%} of the blocks hidden"


def elastic(scene: Thorax, seed: int) -> Drawn:
    """With the outlines of the lungs before they were bent."""
    transform = RandInPlaneElastic().set_random_state(seed)
    drawing = contour_around(grey(transform(scene.volume)), middle_slice(scene.lungs))
    distance = np.hypot(*transform.params.expand()[0]).mean()
    return [drawing], f"moved by {distance:.1f} voxels on average"


def middle(scene: Thorax) -> torch.Tensor:
    """The middle slice as an image (1, X, Y)."""
    return scene.volume[..., scene.volume.shape[3] // 2]


def distortion(scene: Thorax, seed: int, kinds: Sequence[str] = ("inner", "outer", "swap")) -> Drawn:
    """A draw of each kind in turn."""
    kind = kinds[seed % len(kinds)]
    transform = RandCAiDDistortion({name: float(name == kind) for name in kinds}, least_side=1).set_random_state(seed)
    out = transform(middle(scene))
    count = (np.diff(transform.params.blocks[0], axis=1) > 0).all(axis=2).sum()
    words = {"inner": f"inner cut-out, {count} blocks", "outer": f"outer cut-out, {count} windows"}
    return [grey(out[..., None])], words.get(kind, "patch swap, 10 pairs")


def cell(scene: Thorax, seed: int, levels: Sequence[int] = (1, 2, 4)) -> Drawn:
    """A draw of each level in turn; what lies around the cell is darkened."""
    level = levels[seed % len(levels)]
    transform = RandAnatomyCell(level, least_side=1).set_random_state(seed)
    transform(middle(scene).mT)  # rows and columns, as a slab has them
    (top, left), (bottom, right) = transform.params.expand()[0]
    shown = middle(scene) * 0.25
    shown[:, left:right, top:bottom] = middle(scene)[:, left:right, top:bottom]
    rows, columns = transform.params.counts
    return [grey(shown[..., None])], f"level {level}: one of {rows} x {columns} cells"


def composite(preset: str) -> Callable[[Thorax, int], Drawn]:
    def draw(scene: Thorax, seed: int) -> Drawn:
        """The corrupted slice above its target."""
        transform = RandGenesis(preset).set_random_state(seed)
        corrupted, target = transform(scene.volume)
        params = transform.params
        words = [f"flip {'xyz'[axis]}" for axis in np.flatnonzero(params.flips[0])]
        words += [NAMES[part] for part, applied in zip(PARTS, params.applied[0], strict=True) if applied]
        return [grey(corrupted), grey(target)], ", ".join(words) or "nothing"

    return draw


# file -> what draws one column, and the seeds of the columns, chosen to show what differs
GALLERY = {
    "nonlinear_intensity": (nonlinear, (5, 6, 1)),
    "local_shuffle": (shuffle, (0, 1, 2)),
    "in_paint": (painting(RandInPaint), (0, 1, 2)),
    "out_paint": (painting(RandOutPaint), (0, 1, 2)),
    "mask_blocks": (masking, (0, 1, 2)),
    "in_plane_elastic": (elastic, (0, 1, 2)),
    "caid_distortion": (distortion, (0, 1, 2)),
    "anatomy_cell": (cell, (0, 1, 2)),
    "genesis_models": (composite("models"), (0, 11, 24)),
    "genesis_semantic": (composite("semantic"), (25, 0, 4)),
}


def page(columns: Sequence[Drawn]) -> Image.Image:
    """Columns side by side, each with its line beneath."""
    height, width = columns[0][0][0].shape[:2]
    rows = max(len(slices) for slices, _ in columns)
    size = len(columns) * (width + GAP) + GAP, rows * (height + GAP) + LINE + GAP
    sheet = Image.new("RGB", size, (MARGIN_GREY,) * 3)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(LETTER)
    for column, (slices, line) in enumerate(columns):
        left = GAP + column * (width + GAP)
        for row, drawing in enumerate(slices):
            sheet.paste(Image.fromarray(drawing), (left, GAP + row * (height + GAP)))
        below = GAP + len(slices) * (height + GAP) - GAP // 2
        pen.text((left, below), line, fill="white", font=font)
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "transforms_gallery")
    parser.add_argument("--seed", type=int, default=0, help="other draws")
    parser.add_argument("--shape", type=int, nargs=3, default=(128, 128, 64), help="voxels of the phantom")
    args = parser.parse_args(arguments)
    scene = thorax(args.shape)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, (draw, seeds) in GALLERY.items():
        drawn = [draw(scene, args.seed + seed) for seed in seeds]
        words = "original" if len(drawn[0][0]) == 1 else "original\n\nabove: corrupted\nbelow: its target"
        page([([grey(scene.volume)], words), *drawn]).save(args.out / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
