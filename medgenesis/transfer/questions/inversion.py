"""Feature inversion as a question of the study: reconstructions, kept as arrays and images, beside their originals."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from medgenesis.report.image_file import save_image
from medgenesis.report.planes import three_planes
from medgenesis.storage.atomic import make_folder, replacing
from medgenesis.storage.tables import write_table
from medgenesis.transfer.analyses.inversion import Inversion, invert
from medgenesis.transfer.analyses.likeness import likeness
from medgenesis.transfer.counts import check_counts
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import ImageReading
from medgenesis.transfer.geometry import Geometry
from medgenesis.transfer.results import over_images, result_path, save_result
from medgenesis.transfer.study_set import StudySet

_OWN_SIZE = {2: (224, 224), 3: (64, 64, 64)}  # of controls, which take any
_GAP = 4  # pixels between original and reconstruction


def ask_inversion(
    encoder: Encoder,
    study_set: StudySet,
    settings: Inversion,
    folder: str | Path,
    *,
    images: int = 1,
    intensity: Any = None,
) -> dict[str, dict[str, float]]:
    """Reconstruct some images from their features; in `OUT/inversion/` of each the pair, as `.npz` and `.png`.

    Args:
        encoder: that sees images; a 2D encoder sees the middle slab of a volume.
        study_set: whose images; drawn by the seed.
        settings: of the inversion.
        folder: of the study.
        images: how many.
        intensity: see `ImageReading`.

    Returns:
        `ssim`, `mse` and `feature_error`, means over the images, `low` and `high` the least and the most.

    Raises:
        ValueError: images below 1, an encoder that sees no images, or what `invert` raises.
    """
    check_counts(images=images)
    if encoder.of_record is not None:
        raise ValueError(f"{encoder.name}: must see images; found a table's numbers. Leave it out.")
    read = ImageReading(encoder, intensity)
    rows = np.random.default_rng(settings.seed).permutation(len(study_set.records))[:images].tolist()
    found, pairs, seen_by = [], [], encoder
    for number, row in enumerate(rows, 1):
        record = study_set.records[row]
        seen_by, inputs = shown_whole(encoder, read(record), str(record["image"]))
        inverted = invert(seen_by, inputs, settings)
        pair = {"original": inputs.numpy(), "reconstruction": inverted.image.numpy()}
        last = {"feature_error": inverted.feature_error, "loss": inverted.losses[-1][1] if inverted.losses else None}
        found.append({"image": number, **likeness(*pair.values()), **last})
        pairs.append((pair, drawn_pair(pair, slab=bool(encoder.dims == 2 and not record.get("colour")))))
    figures = {name: over_images([one[name] for one in found]) for name in ("ssim", "mse", "feature_error")}
    told = seen_by.described(intensity)
    asked = {"images": len(rows), **asdict(settings)}
    stem = result_path(folder, "inversion", told, study_set.told(), asked).stem
    place = Path(folder) / "inversion" / stem
    make_folder(place)
    for number, (pair, drawn) in enumerate(pairs, 1):
        with replacing(place / f"{number:03d}.npz") as beside, beside.open("wb") as file:
            np.savez_compressed(file, **pair)
        save_image(drawn, place / f"{number:03d}.png")
    write_table(place / "inversion.csv", found)
    save_result(folder, "inversion", told, study_set.told(), asked, figures, compat=settings.compat, each=found)
    return figures


def shown_whole(encoder: Encoder, image: Tensor, name: str) -> tuple[Encoder, Tensor]:
    """The encoder with the size and geometry by which it sees a whole image at once, and that input (C, *spatial)."""
    dims = image.ndim - 1
    size = encoder.size or _OWN_SIZE[dims]
    rule = "squash" if dims == 3 and encoder.dims != 2 else encoder.geometry_for(dims).rule
    rule = "crop" if rule == "whole" else rule
    seen_by = replace(encoder, size=size, geometry=Geometry(rule))
    inputs = seen_by.prepared(image, name)
    return seen_by, inputs[len(inputs) // 2]


def drawn_pair(pair: Mapping[str, np.ndarray], slab: bool) -> np.ndarray:
    """Original and reconstruction side by side, uint8 (H, W, 3); of a volume its three middle planes.

    Args:
        pair: (C, *spatial) in [0, 1] each.
        slab: channels are slices, or equal: the middle one is drawn, else three are colours.
    """
    drawn = []
    for one in pair.values():
        if one.ndim == 4:
            drawn.append(three_planes(one[len(one) // 2]))
            continue
        colours = one if len(one) == 3 and not slab else np.repeat(one[len(one) // 2][None], 3, 0)
        drawn.append((255 * colours.transpose(1, 2, 0)).round().astype(np.uint8))
    gap = np.full((drawn[0].shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([drawn[0], gap, drawn[1]], 1)
