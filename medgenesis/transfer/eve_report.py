"""All that Eve can say of one trunk: figures beside those of the controls, pictures, and the dense maps."""

import csv
import io
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from medgenesis.atomic import replacing, write_text
from medgenesis.data.landmarks import Landmarks
from medgenesis.mining import draw_feature_map, save_picture
from medgenesis.mining.feature_map import MOST_GROUPS
from medgenesis.networks import ResNet25D
from medgenesis.transfer.eve import Eve, lie_in
from medgenesis.transfer.eve_compositionality import compositionality
from medgenesis.transfer.eve_controls import eve_controls
from medgenesis.transfer.eve_locality import embed_landmarks, locality
from medgenesis.transfer.eve_retrieval import Retrieval, retrieve_landmarks, same_places

logger = logging.getLogger(__name__)

_SHARE_OF_SIDE = 4  # a cell of Adam's last level is a quarter of the film


def landmark_figures(
    eve: Eve, images: Mapping[str, Tensor], landmarks: Landmarks, *, stride: int, radii: Sequence[float]
) -> dict[str, float]:
    """What `retrieve_landmarks` and `locality` say of one trunk, as one row of a table.

    Args:
        eve: what embeds.
        images: name -> slab (k, H, W) in [0, 1]; at least two, each with landmarks.
        landmarks: of each of these images, in its pixels.
        stride: pixels from each place that is tried to the next.
        radii: pixels; a hit rate for each.
    """
    found = retrieve_landmarks(eve, images, landmarks, stride=stride)
    return {**_distances(found, radii), **locality(*embed_landmarks(eve, images, landmarks))}


def whole_figures(eve: Eve, images: Sequence[Tensor], *, patches: int = 200, seed: int = 0) -> dict[str, float]:
    """What `compositionality` says of one trunk, as one row of a table: the mean of each split, and the difference.

    Args:
        eve: what embeds.
        images: slabs (k, H, W) in [0, 1], two or more.
        patches: see `compositionality`.
        seed: see `compositionality`.
    """
    row = {}
    for count, figures in compositionality(eve, images, patches=patches, seed=seed).items():
        row |= {f"{count} parts": figures["mean"], f"{count} parts, difference": figures["difference"]}
    return row


def blind_figures(images: Mapping[str, Tensor], landmarks: Landmarks, radii: Sequence[float]) -> dict[str, float]:
    """What `same_places` says, as one row of a table."""
    return _distances(same_places(images, landmarks), radii)


def report_eve(
    trunk: ResNet25D,
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
    """Ask a trunk and its controls the four questions of Eve, and write what they answer.

    Into the folder go `eve.csv`, a row for the trunk, for each control, and, with landmarks, for the answer that looks
    at no image (`same_places`); `landmarks_<row>.png`, where the landmarks lie among the embeddings; and with `maps`
    `maps/<number>_<image>.npz`, the trunk's `EmbeddingMap` of each image: `vectors` (C, rows, columns) float32, `x`,
    `y`. Files that are there are replaced.

    Args:
        trunk: what was learnt.
        images: name -> slab (k, H, W) in [0, 1]; two or more.
        folder: made where it is absent.
        landmarks: in the images' pixels; of an image without any only the other questions are asked. None: no
            landmarks.
        window: side of the windows, pixels; None: a quarter of the least side of an image, as a cell of level 4.
        size: side that a window is resized to, that of the training.
        stride: pixels from a place to the next; None: an eighth of the window.
        radii: of the hit rates, pixels; None: an eighth and a quarter of the window.
        patches: of the question of wholes and parts, at least so many.
        imagenet: weights of a trunk of photographs, one control more; see `eve_controls`.
        maps: write the dense maps: C times rows times columns numbers an image.
        seed: of the control that is not trained, and of the patches.

    Returns:
        The rows of the table: name -> figure -> value.

    Raises:
        ValueError: fewer than two images, or with landmarks; a landmark outside of its image, or an image smaller than
            the window; what the questions raise.
    """
    least = min((side for image in images.values() for side in image.shape[1:]), default=0)
    window = max(1, least // _SHARE_OF_SIDE) if window is None else window
    stride = max(1, window // 8) if stride is None else stride
    radii = (window / 8, window / 4) if radii is None else radii
    marked = {name: image for name, image in images.items() if landmarks and landmarks.get(name)}
    _check(images, window, landmarks, marked)
    folder = Path(folder)
    networks: dict[str, nn.Module] = {"trained": trunk, **eve_controls(trunk, imagenet=imagenet, seed=seed)}
    rows: dict[str, dict[str, float]] = {}
    for name, network in networks.items():
        eve = Eve(network, window, size)
        rows[name] = {}
        if landmarks is not None:
            rows[name] |= landmark_figures(eve, marked, landmarks, stride=stride, radii=radii)
            vectors, names, _ = embed_landmarks(eve, marked, landmarks)
            groups = names if len(set(names)) <= MOST_GROUPS else None
            save_picture(draw_feature_map(vectors, groups), folder / f"landmarks_{name.replace(' ', '_')}.png")
        rows[name] |= whole_figures(eve, list(images.values()), patches=patches, seed=seed)
        logger.info("Eve, %s: %s", name, "; ".join(f"{figure} {value:.4g}" for figure, value in rows[name].items()))
    if landmarks is not None:
        rows["same place"] = blind_figures(marked, landmarks, radii)
    _write_table(rows, folder / "eve.csv")
    if maps:
        eve = Eve(trunk, window, size)
        for number, (name, image) in enumerate(images.items()):
            _write_map(eve, image, stride, folder / "maps" / f"{number:03d}_{Path(name).stem}.npz")
    logger.info(
        "Eve: %d images, windows of %d pixels every %d, resized to %d: %s", len(images), window, stride, size, folder
    )
    return rows


def _check(
    images: Mapping[str, Tensor], window: int, landmarks: Landmarks | None, marked: Mapping[str, Tensor]
) -> None:
    """Refuse at once what the single questions would refuse after minutes, and say of which image it is."""
    if len(images) < 2:
        raise ValueError(f"images: must be two or more; found {len(images)}. Take more films: count, or section.")
    for name, image in images.items():
        if min(image.shape[1:]) < window:
            raise ValueError(
                f"window: must be no larger than an image; found {window}, and {name} of {image.shape[2]} x "
                f"{image.shape[1]} pixels. Choose a smaller window, or leave that film out."
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
                    f"landmarks: must lie in their image; {landmark!r} of {name} is at x {place[0]:g}, y {place[1]:g}, "
                    f"but it has {image.shape[2]} x {image.shape[1]} pixels. Give pixels of this very image."
                )


def _distances(found: Retrieval, radii: Sequence[float]) -> dict[str, float]:
    hits = {f"within {radius:g} px": found.hit_rate(radius) for radius in radii}
    return {**hits, "mean distance, px": found.mean_distance}


def _write_table(rows: Mapping[str, Mapping[str, float]], path: Path) -> None:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trunk", *columns])
    writer.writerows([name, *(f"{row[c]:.6g}" if c in row else "" for c in columns)] for name, row in rows.items())
    write_text(path, text.getvalue())


def _write_map(eve: Eve, image: Tensor, stride: int, path: Path) -> None:
    field = eve.map(image, stride)
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, vectors=field.vectors.numpy(), x=field.x.numpy(), y=field.y.numpy())
