"""Draw the image of the README from a run of `make demo`: python docs/front_image.py demo_output [--out FILE].

Subjects of the test section, which the network has seen neither in pre-training nor in fine-tuning. Left, a column a
subject: the middle slice of a random patch, original, corrupted, and restored by the pre-trained network. Right, a row
a subject: what the fine-tuned network found (coloured) and the reference (yellow line). All of it is computed; no
patient's data.
"""

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from medgenesis.data import RandAcceptedCropd, load_datalist, preprocessing
from medgenesis.demo.layout import ORGANS, Demo
from medgenesis.networks import UNet3D
from medgenesis.report import three_planes
from medgenesis.transforms import RandGenesis
from medgenesis.weights import initialise

# of the overlay `quick`, which the demonstration runs with
SPACING_MM, PATCH, WIDTH = (6.0, 6.0, 9.0), (32, 32, 16), 8
TIMES, GAP, LINE, LETTER = 5, 6, 26, 16  # enlargement; pixels between images; height of a line of text; of its letters
COLUMNS, ROWS = 4, 3
NAMES = ("original", "corrupted", "restored")


def restored_patches(demo: Demo, seed: int) -> Image.Image:
    """A patch of each of the first test subjects in a column: original, corrupted, restored."""
    network = initialise(UNet3D(width=WIDTH, activation="sigmoid"), demo.bundle / "models" / "pretrained.pt").eval()
    prepare = preprocessing(intensity="ct", spacing_mm=SPACING_MM)
    crop = RandAcceptedCropd("image", PATCH, "foreground", pad=True).set_random_state(seed)
    corrupt = RandGenesis("models").set_random_state(seed)
    step = TIMES * PATCH[0] + GAP
    page = Image.new("L", (COLUMNS * step - GAP, ROWS * step - GAP), 255)
    for column, record in enumerate(load_datalist(demo.few_labels_list, "test")[:COLUMNS]):
        corrupted, target = (torch.as_tensor(part.as_tensor()) for part in corrupt(crop(prepare(record))["image"]))
        with torch.no_grad():
            answer = network(corrupted[None])[0]
        for row, volume in enumerate((target, corrupted, answer)):
            page.paste(_middle(volume), (column * step, row * step))
    return page.convert("RGB")


def _middle(volume: torch.Tensor) -> Image.Image:
    plane = (volume[0, :, :, volume.shape[3] // 2].T.clamp(0, 1).numpy() * 255).round().astype(np.uint8)
    return Image.fromarray(plane.repeat(TIMES, 0).repeat(TIMES, 1))


def segmented_subjects(demo: Demo, height: int) -> Image.Image:
    """Three planes of each of the first test subjects, one under the other, to fill a height."""
    rows = []
    for record in load_datalist(demo.few_labels_list, "test")[:ROWS]:
        image = preprocessing(intensity="ct")({"image": record["image"]})["image"]
        found, truth = (_standard_grid(path) for path in (demo.segmentation_of(record), record["label"]))
        organs = sum(value * np.isin(truth, own) for value, (_, own) in ORGANS.items())
        rows.append(three_planes(image[0].numpy(), found, organs, tuple(float(side) for side in image.pixdim)))
    narrowest = min(row.shape[1] for row in rows)
    each = (height - (len(rows) - 1) * GAP) // len(rows)
    scaled = [Image.fromarray(row[:, :narrowest]) for row in rows]
    scaled = [row.resize((round(row.width * each / row.height), each), Image.Resampling.LANCZOS) for row in scaled]
    page = Image.new("RGB", (max(row.width for row in scaled), height), "white")
    for position, row in enumerate(scaled):
        page.paste(row, (0, position * (each + GAP)))
    return page


def _standard_grid(path: str | Path) -> np.ndarray:
    image = nib.load(path)
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt("LPS"))
    return np.asarray(image.as_reoriented(turn).dataobj).astype(np.uint8)


def draw(demo: Demo, seed: int) -> Image.Image:
    """Both halves, each under its title; the rows of the first with their names."""
    left = restored_patches(demo, seed)
    right = segmented_subjects(demo, left.height)
    margin = 5 * LETTER
    page = Image.new("RGB", (margin + left.width + 3 * GAP + right.width, LINE + left.height), "white")
    font, pen = ImageFont.load_default(LETTER), ImageDraw.Draw(page)
    pen.text((margin, 2), "Pre-training without labels: restore corrupted patches", fill="black", font=font)
    pen.text((margin + left.width + 3 * GAP, 2), "Fine-tuned on 4 labelled subjects", fill="black", font=font)
    for row, name in enumerate(NAMES):
        middle = LINE + row * (left.height + GAP) // ROWS + TIMES * PATCH[1] // 2
        pen.text((margin - GAP, middle), name, fill="black", font=font, anchor="rm")
    page.paste(left, (margin, LINE))
    page.paste(right, (margin + left.width + 3 * GAP, LINE))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder of a finished `make demo`")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "front.png")
    parser.add_argument("--seed", type=int, default=0, help="of the patches and their corruption")
    args = parser.parse_args()
    draw(Demo(args.demo.absolute()), args.seed).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
