"""All that DenseEmbedder can say of one backbone: figures beside those of the controls, images, and the dense maps."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from medgenesis.data.landmarks import Landmarks
from medgenesis.networks import ResNet25D
from medgenesis.report.image_file import save_image
from medgenesis.report.scatter import MOST_GROUPS, draw_feature_map
from medgenesis.storage.atomic import replacing
from medgenesis.storage.tables import write_table
from medgenesis.transfer.dense.baselines import dense_baselines
from medgenesis.transfer.dense.compositionality import measure_compositionality
from medgenesis.transfer.dense.embedder import DenseEmbedder, lie_in
from medgenesis.transfer.dense.landmark_matching import LandmarkMatches, match_landmarks, same_position_baseline
from medgenesis.transfer.dense.locality import embed_landmarks, measure_locality

logger = logging.getLogger(__name__)

_SHARE_OF_SIDE = 4  # a cell of Adam's last level is a quarter of the X-ray


def landmark_figures(
    embedder: DenseEmbedder, images: Mapping[str, Tensor], landmarks: Landmarks, *, stride: int, radii: Sequence[float]
) -> dict[str, float]:
    """What `match_landmarks` and `locality` say of one backbone, as one row of a table.

    Args:
        embedder: what embeds.
        images: name -> slab (k, H, W) in [0, 1]; at least two, each with landmarks.
        landmarks: of each of these images, in its pixels.
        stride: pixels from each place that is tried to the next.
        radii: pixels; a hit rate for each.
    """
    found = match_landmarks(embedder, images, landmarks, stride=stride)
    return {**_distances(found, radii), **measure_locality(*embed_landmarks(embedder, images, landmarks))}


def whole_figures(
    embedder: DenseEmbedder,
    images: Sequence[Tensor],
    *,
    patches: int = 200,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> dict[str, float]:
    """What `compositionality` says of one backbone, as one row of a table: the mean of each split, and the difference.

    Args:
        embedder: what embeds.
        images: slabs (k, H, W) in [0, 1], two or more.
        patches: see `compositionality`.
        seed: see `compositionality`.
        names: see `compositionality`.
    """
    row, asked = {}, {"patches": patches, "seed": seed, "names": names}
    for count, figures in measure_compositionality(embedder, images, **asked).items():
        row |= {f"{count} parts": figures["mean"], f"{count} parts, difference": figures["difference"]}
    return row


def same_position_figures(
    images: Mapping[str, Tensor], landmarks: Landmarks, radii: Sequence[float]
) -> dict[str, float]:
    """What `same_position_baseline` says, as one row of a table."""
    return _distances(same_position_baseline(images, landmarks), radii)


def report_dense_features(
    backbone: ResNet25D,
    images: Mapping[str, Tensor],
    folder: str | os.PathLike,
    landmarks: Landmarks | None = None,
    *,
    window: int | None = None,
    size: int = 224,
    stride: int | None = None,
    radii: Sequence[float] | None = None,
    patches: int = 200,
    imagenet: str | os.PathLike | None = None,
    maps: bool = True,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Ask a backbone and its controls the four questions of DenseEmbedder, and write what they answer.

    Into the folder go `dense.csv`, a row for the backbone, for each control, and, with landmarks, for the answer that
    looks at no image (`same_position_baseline`); `landmarks_<row>.png`, where the landmarks lie among the embeddings;
    and with `maps` `maps/<number>_<image>.npz`, the backbone's `EmbeddingMap` of each image: `vectors` (C, rows,
    columns) float32, `x`, `y`. Files that are there are replaced.

    Args:
        backbone: what was learnt.
        images: name -> slab (k, H, W) in [0, 1]; two or more.
        folder: made where it is absent.
        landmarks: in the images' pixels; of an image without any only the other questions are asked. None: no
            landmarks.
        window: side of the windows, pixels; None: a quarter of the least side of an image, as a cell of level 4.
        size: side that a window is resized to, that of the training.
        stride: pixels from a place to the next; None: an eighth of the window.
        radii: of the hit rates, pixels; None: an eighth and a quarter of the window.
        patches: of the question of wholes and parts, at least so many.
        imagenet: weights of a backbone of photographs, one control more; see `dense_baselines`.
        maps: write the dense maps: C times rows times columns numbers an image.
        seed: of the control that is not trained, and of the patches.

    Returns:
        The rows of the table: name -> figure -> value.

    Raises:
        ValueError: fewer than two images, or with landmarks; a landmark outside of its image, or an image smaller than
            the window; what the questions raise.
        VolumeError: an image whose features are not finite, by its name.
    """
    least = min((side for image in images.values() for side in image.shape[1:]), default=0)
    window = max(1, least // _SHARE_OF_SIDE) if window is None else window
    stride = max(1, window // 8) if stride is None else stride
    radii = (window / 8, window / 4) if radii is None else radii
    marked = {name: image for name, image in images.items() if landmarks and landmarks.get(name)}
    _check(images, window, landmarks, marked)
    folder = Path(folder)
    networks: dict[str, nn.Module] = {"trained": backbone, **dense_baselines(backbone, imagenet=imagenet, seed=seed)}
    rows: dict[str, dict[str, float]] = {}
    for name, network in networks.items():
        embedder = DenseEmbedder(network, window, size)
        rows[name] = {}
        if landmarks is not None:
            rows[name] |= landmark_figures(embedder, marked, landmarks, stride=stride, radii=radii)
            vectors, names, _ = embed_landmarks(embedder, marked, landmarks)
            groups = names if len(set(names)) <= MOST_GROUPS else None
            save_image(draw_feature_map(vectors, groups), folder / f"landmarks_{name.replace(' ', '_')}.png")
        rows[name] |= whole_figures(embedder, list(images.values()), patches=patches, seed=seed, names=list(images))
        logger.info(
            "DenseEmbedder, %s: %s", name, "; ".join(f"{figure} {value:.4g}" for figure, value in rows[name].items())
        )
    if landmarks is not None:
        rows["same place"] = same_position_figures(marked, landmarks, radii)
    columns = ["backbone", *dict.fromkeys(figure for row in rows.values() for figure in row)]
    write_table(folder / "dense.csv", [{"backbone": name, **row} for name, row in rows.items()], columns)
    if maps:
        embedder = DenseEmbedder(backbone, window, size)
        for number, (name, image) in enumerate(images.items()):
            _write_map(embedder, name, image, stride, folder / "maps" / f"{number:03d}_{Path(name).stem}.npz")
    logger.info(
        "DenseEmbedder: %d images, windows of %d pixels every %d, resized to %d; written: %s",
        len(images),
        window,
        stride,
        size,
        folder / "dense.csv",
    )
    return rows


def _check(
    images: Mapping[str, Tensor], window: int, landmarks: Landmarks | None, marked: Mapping[str, Tensor]
) -> None:
    """Refuse at once what the single questions would refuse after minutes, and say of which image it is."""
    if len(images) < 2:
        raise ValueError(f"images: must be two or more; found {len(images)}. Take more X-rays: count, or section.")
    for name, image in images.items():
        if min(image.shape[1:]) < window:
            raise ValueError(
                f"window: must be no larger than an image; found {window}, and {name} of {image.shape[2]} x "
                f"{image.shape[1]} pixels. Choose a smaller window, or leave that X-ray out."
            )
    if landmarks is not None and len(marked) < 2:
        raise ValueError(
            f"landmarks: must be of two of the images or more; found {len(marked)} of {len(images)}. The table names "
            f"{list(landmarks)[:3]}, the images are {list(images)[:3]}."
        )
    for name, image in marked.items():
        for landmark, place in landmarks[name].items():
            if not lie_in(image, torch.tensor([place])):
                raise ValueError(
                    f"landmarks: must lie in their image; found {landmark!r} of {name} at x {place[0]:g}, y "
                    f"{place[1]:g}, outside {image.shape[2]} x {image.shape[1]} pixels. Give pixels of this very image."
                )


def _distances(found: LandmarkMatches, radii: Sequence[float]) -> dict[str, float]:
    hits = {f"within {radius:g} px": found.hit_rate(radius) for radius in radii}
    return {**hits, "mean distance, px": found.mean_distance}


def _write_map(embedder: DenseEmbedder, name: str, image: Tensor, stride: int, path: Path) -> None:
    field = embedder.map(image, stride, name)
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, vectors=field.vectors.numpy(), x=field.x.numpy(), y=field.y.numpy())
