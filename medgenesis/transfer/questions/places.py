"""Questions on places as parts of the study, of images and volumes: landmarks, locality, wholes and their parts."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from medgenesis.data.landmarks import Landmarks, landmarks_of
from medgenesis.errors import DatalistError
from medgenesis.report.image_file import save_image
from medgenesis.report.scatter import MOST_GROUPS, draw_feature_map
from medgenesis.statistics.intervals import interval_figure
from medgenesis.storage.fingerprints import file_fingerprint
from medgenesis.storage.tables import write_table
from medgenesis.transfer.counts import check_counts
from medgenesis.transfer.dense import (
    LandmarkMatches,
    embed_landmarks,
    match_landmarks,
    measure_compositionality,
    measure_locality,
    same_position_baseline,
)
from medgenesis.transfer.dense.of_encoder import embedder_of, windows_of
from medgenesis.transfer.dense.seen_images import SeenImages, name_of, seen_images
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.results import result_path, save_result
from medgenesis.transfer.study_set import StudySet

logger = logging.getLogger(__name__)

PLACES = ("landmarks", "locality", "compositionality")
_SHARE_OF_SIDE = 4  # a window is a quarter of the least side, as a cell of Adam's last level
_SHARES = (32, 16)  # of the least side: radii of hits
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Places:
    """Settings of the three questions.

    Args:
        window: longest side of the windows around places, pixels or voxels (`windows_of`); None: a quarter of the least
            side of an image.
        stride: of `landmarks`: pixels or voxels from a place that is tried to the next; None: an eighth of the window,
            of volumes a half.
        radii: of `landmarks`: of the hit rates, pixels, of volumes mm; None: an eighth and a quarter of the window, of
            volumes a 32nd and a 16th of the least side.
        images: how many at most, drawn by the seed; for landmarks of those that the table names.
        patches: of `compositionality`, at least so many.
        seed: of the draws.
    """

    window: int | None = None
    stride: int | None = None
    radii: Sequence[float] | None = None
    images: int = 20
    patches: int = 200
    seed: int = 0


def ask_places(
    question: str,
    encoder: Encoder,
    study_set: StudySet,
    settings: Places,
    folder: str | Path,
    *,
    landmarks: str | Path | None = None,
    intensity: Any = None,
    batch_size: int = 64,
) -> Figures:
    """Ask one encoder one of the three questions, and keep the result; tables and images in `OUT/QUESTION/`.

    Args:
        question: "landmarks": hit rates and mean distance, each beside `same place`, the answer that looks at no image,
            with the 95 % interval over the patients whose landmarks are sought; "locality": silhouette,
            accuracy of neighbours and distance ratio; "compositionality": cosine of a whole and the mean of its parts,
            and the difference to unrelated ones.
        encoder: 2D, which sees windows of volumes as slabs, or 3D, or a control that sees images.
        study_set: of images or of volumes.
        settings: of the windows.
        folder: of the study.
        landmarks: table (image, landmark, x, y, of volumes z) of the first two; see `Landmarks`.
        intensity: see `ImageReading`.
        batch_size: windows at a time.

    Raises:
        ValueError: another question, a number below 1, no table of landmarks, an encoder that does not see these
            images, or what the question raises.
        DatalistError: a table that knows too few of the images, or places of other axes or outside of their image.
        VolumeError: an image that cannot be read or seen, images and volumes together, or features that are not finite.
    """
    if question not in PLACES or (question != "compositionality" and landmarks is None):
        raise ValueError(
            f"question: must be one of {', '.join(PLACES)}, and for the first two with landmarks; found {question!r} "
            "without. Give --landmarks FILE.csv (image, landmark, x, y, of volumes z)."
        )
    counts = {name: getattr(settings, name) for name in ("window", "stride", "images", "patches")}
    check_counts(**counts, batch_size=batch_size)
    if encoder.of_record is not None:
        embedder_of(encoder, 1)  # refuses it
    order = np.random.default_rng(settings.seed).permutation(len(study_set.records)).tolist()
    order = list({name_of(study_set.records[row]): row for row in order}.values())  # of one listed twice the last
    table: Landmarks = {}
    if question != "compositionality":
        table = landmarks_of(study_set.records, str(landmarks))
        named = [row for row in order if str(study_set.records[row]["image"]) in table]
        if len(named) < len(order):
            count = len(order) - len(named)
            logger.info(
                "%s: %d of %d images left out: not in the table of landmarks", study_set.name, count, len(order)
            )
        order = named
    rows = order[: settings.images]
    if len(rows) < 2:
        raise DatalistError(
            f"{study_set.name}: must have two images or more for {question}; found {len(rows)}. Give more --images, or "
            "name more of them in the table of landmarks."
        )
    seen = seen_images(encoder, [study_set.records[row] for row in rows], intensity)
    window = settings.window or _window(encoder, seen)
    asked = {**asdict(settings), "window": window, "images": len(rows)}
    if question != "compositionality":
        asked |= {"landmarks (fingerprint)": file_fingerprint(landmarks)}
    told = encoder.described(intensity)
    place = Path(folder) / question / result_path(folder, question, told, study_set.told(), asked).stem
    embedder = embedder_of(encoder, window, seen.dims, batch_size=batch_size)
    if question == "compositionality":
        figures = _wholes(embedder, seen.images, settings, place)
    elif question == "locality":
        figures = _locality(embedder, seen.images, seen.places(table, str(landmarks)), place)
    else:
        patients = study_set.patients[rows]
        figures = _landmarks(embedder, seen, seen.places(table, str(landmarks)), settings, window, patients, place)
    save_result(folder, question, told, study_set.told(), asked, figures)
    return figures


def _window(encoder: Encoder, seen: SeenImages) -> int:
    """The longest side of windows that take a quarter of the image along the axis where this is least."""
    unit = windows_of(encoder, 1000, seen.dims)
    axes = 2 if encoder.dims == 2 else seen.dims
    shares = (side / own for one in seen.images.values() for side, own in zip(one.shape[1:][:axes], unit, strict=False))
    return max(1, int(1000 * min(shares) / _SHARE_OF_SIDE))


def _landmarks(
    embedder: Any,
    seen: SeenImages,
    table: Landmarks,
    settings: Places,
    window: int,
    patients: np.ndarray,
    place: Path,
) -> Figures:
    solid = seen.dims == 3
    stride = settings.stride or max(1, window // (2 if solid else 8))
    unit, spacing = ("mm", seen.spacing) if solid else ("px", None)
    radii = settings.radii or ([_least(seen) / share for share in _SHARES] if solid else [window / 8, window / 4])
    found = match_landmarks(embedder, seen.images, table, stride=stride, spacing=spacing)
    trivial = same_position_baseline(seen.images, table, spacing=spacing)
    figures: Figures = {}
    for before, matches in (("", found), ("same place ", trivial)):
        for radius in radii:
            figures[f"{before}within {radius:.3g} {unit}"] = _searches(matches, patients, radius)
        figures[f"{before}distance, {unit}"] = _searches(matches, patients)
    rates = {radius: found.by_landmark(radius) for radius in radii}
    rows = [
        {"landmark": name, **{f"within {radius:.3g} {unit}": rates[radius][name] for radius in radii}}
        for name in found.landmarks
    ]
    write_table(place / "landmarks.csv", rows)
    return figures


def _least(seen: SeenImages) -> float:
    """The least side of all volumes, mm, to two digits: alike at other spacings."""
    sides = (np.array(one.shape[1:]) * seen.spacing[name] for name, one in seen.images.items())
    return float(f"{min(map(min, sides)):.2g}")


def _searches(matches: LandmarkMatches, patients: np.ndarray, radius: float | None = None) -> dict[str, float]:
    """Mean over all searches, with the interval over the patients whose landmarks are sought."""
    known = np.isfinite(matches.distances)
    values = matches.distances[known] if radius is None else matches.distances[known] <= radius
    owners = np.broadcast_to(patients[:, None, None], known.shape)[known]
    bounds = (0, np.inf) if radius is None else (0, 1)
    return interval_figure(values, owners.tolist(), bounds=bounds)


def _locality(embedder: Any, images: Mapping[str, Tensor], table: Landmarks, place: Path) -> Figures:
    vectors, names, owners = embed_landmarks(embedder, images, table)
    groups = names if len(set(names)) <= MOST_GROUPS else None
    save_image(draw_feature_map(vectors, groups), place / "landmarks.png")
    return {name: {"value": value} for name, value in measure_locality(vectors, names, owners).items()}


def _wholes(embedder: Any, images: Mapping[str, Tensor], settings: Places, place: Path) -> Figures:
    found = measure_compositionality(
        embedder, list(images.values()), patches=settings.patches, seed=settings.seed, names=list(images)
    )
    write_table(place / "compositionality.csv", [{"parts": count, **one} for count, one in found.items()])
    figures: Figures = {}
    for count, one in found.items():
        figures[f"{count} parts"] = {"value": one["mean"]}
        figures[f"{count} parts, difference"] = {"value": one["difference"]}
    return figures
