"""Questions without a class as parts of the study: saliency, invariance, several views, CKA; results and files kept."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medgenesis.networks.input_normalisation import IMAGENET_MEAN
from medgenesis.progress import track
from medgenesis.report.image_file import save_image
from medgenesis.storage.atomic import make_folder, replacing
from medgenesis.storage.tables import write_table
from medgenesis.transfer.analyses.changes import family, means
from medgenesis.transfer.analyses.cka import linear_cka
from medgenesis.transfer.analyses.image_statistics import by_image_statistics
from medgenesis.transfer.analyses.invariance import FeatureStatistics, invariance
from medgenesis.transfer.analyses.multiview import multiview, view_pairs
from medgenesis.transfer.analyses.saliency import occlusion_saliency
from medgenesis.transfer.counts import check_counts
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import ImageReading, study_features
from medgenesis.transfer.geometry import Geometry
from medgenesis.transfer.results import file_word, over_images, result_path, save_result
from medgenesis.transfer.study_set import StudySet

_WINDOWS_A_SIDE_3D = 8  # of a volume, where none is given


def ask_saliency(
    encoder: Encoder,
    study_set: StudySet,
    folder: str | Path,
    *,
    images: int = 3,
    window: int | None = None,
    stride: int | None = None,
    compat: bool = False,
    intensity: Any = None,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Occlusion saliency of some images: maps (`.npy`), images of them (`.png`), and attentive diffusion.

    An image is shown at the encoder's size and a frame of `window` - 1 pixels, which the map lacks (a function of one's
    own: at its size); a volume resized to the encoder's size.

    Args:
        encoder: a 2D encoder sees the middle slab of a volume.
        study_set: whose images; drawn by the seed.
        folder: of the study.
        images: how many.
        window: side; None: 10 pixels, of volumes an eighth of the shortest side.
        stride: None: 1 pixel, of volumes half the window.
        compat: as the study: batch norms take the statistics of the single image (`by_image_statistics`).
        intensity: see `ImageReading`.
        batch_size: windows at a time.
        seed: of the draw.

    Raises:
        ValueError: a number below 1, or an encoder of other axes than the images.
    """
    check_counts(images=images, window=window, stride=stride, batch_size=batch_size)
    read = ImageReading(encoder, intensity)
    rows = np.random.default_rng(seed).permutation(len(study_set.records))[:images].tolist()
    asked = by_image_statistics(encoder) if compat else encoder
    found, maps, side, step, rule = [], [], window or 10, stride or 1, "crop"
    for number, row in enumerate(rows, 1):
        image = read(study_set.records[row])
        solid = image.ndim == 4 and encoder.dims == 3
        if solid:
            side = window or max(2, min(encoder.size) // _WINDOWS_A_SIDE_3D)
            step, rule = stride or max(1, side // 2), "squash"
        if encoder.dims is None or (encoder.dims == 3) != solid:
            raise ValueError(
                f"{encoder.name}: saliency must be of an encoder of the images' own axes; found {encoder.dims} and "
                f"{image.ndim - 1}. Choose another encoder or data set."
            )
        frame = 0 if solid or "function" in encoder.told else 2 * (side - 1)
        sizes = tuple(one + frame for one in encoder.size)
        shown = replace(encoder, size=sizes, geometry=Geometry(rule))
        slabs = shown.prepared(image, str(study_set.records[row]["image"]))  # of images, and of 3D encoders, one
        inputs = slabs[len(slabs) // 2]
        fill = IMAGENET_MEAN if encoder.told.get("input_normalisation") == "imagenet" and len(inputs) == 3 else 0.0
        one = occlusion_saliency(asked, inputs, side, step, fill, batch_size=batch_size)
        maps.append((one.heatmap.astype(np.float32), drawn_heatmap(inputs, one.heatmap, side)))
        found.append({"image": number, "diffusion": one.diffusion, "mean_change": float(one.changes.mean())})
    figures = {"diffusion": over_images([one["diffusion"] for one in found])}
    settings = {"images": len(rows), "window": side, "stride": step, "compat": compat, "seed": seed}
    told = replace(encoder, geometry=Geometry(rule)).described(intensity)  # as shown here, whatever was asked for
    place = _place(folder, "saliency", told, study_set, settings)
    make_folder(place)
    for number, (heatmap, drawn) in enumerate(maps, 1):
        with replacing(place / f"{number:03d}.npy") as beside, beside.open("wb") as file:
            np.save(file, heatmap)
        save_image(drawn, place / f"{number:03d}.png")
    write_table(place / "saliency.csv", found)
    save_result(folder, "saliency", told, study_set.told(), settings, figures, each=found)
    return figures


def ask_invariance(
    encoder: Encoder,
    study_set: StudySet,
    folder: str | Path,
    *,
    changes: Sequence[str] = ("rotation", "flip", "brightness", "blur"),
    images: int = 100,
    compat: bool = False,
    intensity: Any = None,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """How alike images and their changed copies are: a table a change, `OUT/invariance/…/CHANGE.csv`.

    Args:
        encoder: any that sees images; not the control `table`.
        study_set: its statistics are of all images, without change.
        folder: of the study.
        changes: names of `CHANGES`.
        images: drawn by the seed, each once.
        compat: the study's ridge of 1e-6 in place of shrinkage.
        intensity: see `ImageReading`.
        batch_size: inputs at a time.
        seed: of the draw.

    Raises:
        ValueError: a number below 1, another change, or the control `table`.
    """
    check_counts(images=images, batch_size=batch_size)
    known = {name: family(name) for name in changes}
    if encoder.of_record is not None:
        raise ValueError(f"{encoder.name}: must see images; found a table's numbers. Leave it out.")
    features = study_features(encoder, study_set, Path(folder) / "features", intensity=intensity, batch_size=batch_size)
    statistics = FeatureStatistics.of(features.vectors, compat=compat, name=encoder.name)
    rows = np.random.default_rng(seed).permutation(len(study_set.records))[:images].tolist()
    read = ImageReading(encoder, intensity)
    shown = (
        torch.as_tensor(read(study_set.records[row])).as_subclass(Tensor)
        for row in track(rows, f"images for {encoder.name}")
    )
    told = encoder.described(intensity)
    settings = {"changes": list(changes), "images": len(rows), "compat": compat, "seed": seed}
    place = _place(folder, "invariance", told, study_set, settings)
    figures: dict[str, dict[str, float]] = {}
    curves = invariance(encoder, shown, {name: (one.change, one.parameters) for name, one in known.items()}, statistics)
    for name, one in known.items():
        write_table(place / f"{name}.csv", curves[name])
        both = means(curves[name], one.identity)
        figures[name] = {"value": both["similarity"], "with_identity": both["similarity_with_identity"]}
    more = {"statistics": {"samples": statistics.samples, "shrinkage": statistics.shrinkage}, "curves": curves}
    save_result(folder, "invariance", told, study_set.told(), settings, figures, **more)
    return figures


def ask_multiview(
    encoder: Encoder,
    study_set: StudySet,
    folder: str | Path,
    *,
    pairs: int = 100,
    compat: bool = False,
    intensity: Any = None,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """How alike two views of a patient are, beside views of two patients (`multiview`); numbers below 1 are refused."""
    check_counts(pairs=pairs, batch_size=batch_size)
    features = study_features(encoder, study_set, Path(folder) / "features", intensity=intensity, batch_size=batch_size)
    chosen = view_pairs(study_set.records, pairs, seed)
    statistics = FeatureStatistics.of(features.vectors, compat=compat, name=encoder.name)
    figures = multiview(features.vectors, chosen, statistics, seed=seed)
    settings = {"pairs": len(chosen), "compat": compat, "seed": seed}
    save_result(folder, "multiview", encoder.described(intensity), study_set.told(), settings, figures)
    return figures


def ask_cka(
    encoders: Sequence[Encoder],
    study_set: StudySet,
    folder: str | Path,
    *,
    intensity: Any = None,
    batch_size: int = 32,
) -> list[dict[str, Any]]:
    """Linear CKA of the pooled features of all pairs of encoders, plain and debiased: a result a pair, and
    `OUT/cka_DATASET.csv`."""
    told = {one.name: one.described(intensity) for one in encoders}
    features = {
        one.name: study_features(one, study_set, Path(folder) / "features", intensity=intensity, batch_size=batch_size)
        for one in encoders
    }
    rows = []
    for a, b in combinations(features, 2):
        one, other = features[a].vectors, features[b].vectors
        values = {name: linear_cka(one, other, debiased=name != "cka") for name in ("cka", "cka_debiased")}
        rows.append({"one": a, "other": b, "images": len(one), **values})
        figures = {name: {"value": value} for name, value in values.items()}
        settings = {"other": b, "other (fingerprint)": told[b]["encoder (fingerprint)"]}
        save_result(folder, "cka", told[a], study_set.told(), settings, figures, other=told[b])
    if not rows:
        raise ValueError(f"--encoder: must be two or more for CKA; found {len(encoders)}. Name another.")
    write_table(Path(folder) / f"cka_{file_word(study_set.name)}.csv", rows)
    return rows


def drawn_heatmap(image: Tensor, heatmap: np.ndarray, window: int) -> np.ndarray:
    """A heat map over the image that it is of, uint8 (H, W, 3): the warmer, the more the features hang on the place.

    Args:
        image: (C, *spatial) in [0, 1], larger than the map; of a volume the middle slice is drawn.
        heatmap: (*spatial), of `occlusion_saliency`: its first pixel is pixel `window` - 1 of the image.
        window: side of the windows.
    """
    starts = [min(window - 1, side - own) for side, own in zip(image.shape[1:], heatmap.shape, strict=True)]
    grey = image.mean(0).numpy()
    grey = grey[tuple(slice(start, start + own) for start, own in zip(starts, heatmap.shape, strict=True))]
    if grey.ndim == 3:
        grey, heatmap = grey[..., grey.shape[2] // 2].T, heatmap[..., heatmap.shape[2] // 2].T
    heat = (heatmap - heatmap.min()) / max(float(np.ptp(heatmap)), 1e-12)
    colour = np.stack([np.clip(2 * heat, 0, 1), np.clip(2 * heat - 0.8, 0, 1), np.clip(1 - 2 * heat, 0, 1)], -1)
    mixed = 0.5 * grey[..., None] + 0.5 * colour
    return (255 * np.clip(mixed, 0, 1)).astype(np.uint8)


def _place(folder: str | Path, question: str, told: Mapping, study_set: StudySet, settings: Mapping) -> Path:
    """Folder of a run's maps or tables: named as its result."""
    return Path(folder) / question / result_path(folder, question, told, study_set.told(), settings).stem
