"""Questions on the places of X-rays as parts of the study: landmarks, locality, wholes and their parts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from medgenesis.data.landmarks import Landmarks, landmarks_of
from medgenesis.errors import DatalistError
from medgenesis.mining import save_image
from medgenesis.report.intervals import mean_interval
from medgenesis.report.scatter import MOST_GROUPS, draw_feature_map
from medgenesis.storage.fingerprints import file_fingerprint
from medgenesis.storage.tables import write_table
from medgenesis.transfer.dense import (
    LandmarkMatches,
    embed_landmarks,
    match_landmarks,
    measure_compositionality,
    measure_locality,
    same_position_baseline,
)
from medgenesis.transfer.dense.of_encoder import check_sees_xrays, embedder_of, xrays_of
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.results import result_path, save_result
from medgenesis.transfer.study_set import StudySet

PLACES = ("landmarks", "locality", "compositionality")
_SHARE_OF_SIDE = 4  # a window is a quarter of the least side, as a cell of Adam's last level
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Places:
    """Settings of the three questions.

    Args:
        window: side of the windows around places, pixels; None: a quarter of the least side of an image.
        stride: of `landmarks`: pixels from a place that is tried to the next; None: an eighth of the window.
        radii: of `landmarks`: of the hit rates, pixels; None: an eighth and a quarter of the window.
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
) -> Figures:
    """Ask one encoder one of the three questions on X-rays, and keep the result; tables and images in `OUT/QUESTION/`.

    Args:
        question: "landmarks": hit rates and mean distance, each beside `same place`, the answer that looks at no image,
            with the 95 % interval of a bootstrap over the patients whose landmarks are sought; "locality": silhouette,
            accuracy of neighbours and distance ratio; "compositionality": cosine of a whole and the mean of its parts,
            and the difference to unrelated ones.
        encoder: 2D, or a control that sees images.
        study_set: of X-rays.
        settings: of the windows.
        folder: of the study.
        landmarks: table (image, landmark, x, y) of the first two.
        intensity: see `ImageReading`.

    Raises:
        ValueError: another question, no table of landmarks, an encoder that sees no X-rays, or what the question
            raises.
        DatalistError: a table that knows too few of the images.
        VolumeError: a volume, or an image that cannot be read.
    """
    if question not in PLACES or (question != "compositionality" and landmarks is None):
        raise ValueError(
            f"question: must be one of {', '.join(PLACES)}, and for the first two with landmarks; found {question!r} "
            "without. Give --landmarks FILE.csv (image, landmark, x, y)."
        )
    check_sees_xrays(encoder)
    order = np.random.default_rng(settings.seed).permutation(len(study_set.records)).tolist()
    table: Landmarks = {}
    if question != "compositionality":
        table = landmarks_of(study_set.records, str(landmarks))
        order = [row for row in order if str(study_set.records[row]["image"]) in table]
    rows = order[: settings.images]
    if len(rows) < 2:
        raise DatalistError(
            f"{study_set.name}: must have two images or more for {question}; found {len(rows)}. Give more --images, or "
            "name more of them in the table of landmarks."
        )
    images = xrays_of(encoder, [study_set.records[row] for row in rows], intensity)
    window = settings.window or max(1, min(min(one.shape[1:]) for one in images.values()) // _SHARE_OF_SIDE)
    asked = {**asdict(settings), "window": window, "images": len(rows)}
    if question != "compositionality":
        asked |= {"landmarks (fingerprint)": file_fingerprint(landmarks)}
    told = encoder.described(intensity)
    place = Path(folder) / question / result_path(folder, question, told, study_set.told(), asked).stem
    embedder = embedder_of(encoder, window)
    if question == "compositionality":
        figures = _wholes(embedder, list(images.values()), settings, place)
    elif question == "locality":
        figures = _locality(embedder, images, table, place)
    else:
        patients = study_set.patients[rows]
        figures = _landmarks(embedder, images, table, settings, window, patients, place)
    save_result(folder, question, told, study_set.told(), asked, figures)
    return figures


def _landmarks(
    embedder: Any,
    images: Mapping[str, Tensor],
    table: Landmarks,
    settings: Places,
    window: int,
    patients: np.ndarray,
    place: Path,
) -> Figures:
    stride = settings.stride or max(1, window // 8)
    radii = settings.radii or (window / 8, window / 4)
    found = match_landmarks(embedder, images, table, stride=stride)
    trivial = same_position_baseline(images, table)
    figures: Figures = {}
    for before, matches in (("", found), ("same place ", trivial)):
        for radius in radii:
            figures[f"{before}within {radius:g} px"] = _searches(matches, patients, radius)
        figures[f"{before}distance, px"] = _searches(matches, patients)
    rates = {radius: found.by_landmark(radius) for radius in radii}
    rows = [
        {"landmark": name, **{f"within {radius:g} px": rates[radius][name] for radius in radii}}
        for name in found.landmarks
    ]
    write_table(place / "landmarks.csv", rows)
    return figures


def _searches(matches: LandmarkMatches, patients: np.ndarray, radius: float | None = None) -> dict[str, float]:
    """Mean over all searches, with the interval over the patients whose landmarks are sought."""
    known = np.isfinite(matches.distances)
    values = matches.distances[known] if radius is None else matches.distances[known] <= radius
    owners = np.broadcast_to(patients[:, None, None], known.shape)[known]
    return dict(zip(("value", "low", "high"), mean_interval(values, owners.tolist()), strict=True))


def _locality(embedder: Any, images: Mapping[str, Tensor], table: Landmarks, place: Path) -> Figures:
    vectors, names, owners = embed_landmarks(embedder, images, table)
    groups = names if len(set(names)) <= MOST_GROUPS else None
    save_image(draw_feature_map(vectors, groups), place / "landmarks.png")
    return {name: {"value": value} for name, value in measure_locality(vectors, names, owners).items()}


def _wholes(embedder: Any, images: Sequence[Tensor], settings: Places, place: Path) -> Figures:
    found = measure_compositionality(embedder, images, patches=settings.patches, seed=settings.seed)
    write_table(place / "compositionality.csv", [{"parts": count, **one} for count, one in found.items()])
    figures: Figures = {}
    for count, one in found.items():
        figures[f"{count} parts"] = {"value": one["mean"]}
        figures[f"{count} parts, difference"] = {"value": one["difference"]}
    return figures
