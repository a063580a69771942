"""Feature vectors of a list that several processes or machines share: each embeds a part, and one joins them.

Settings lie in the file of the vectors, not in a `steps.json` beside it (`Steps`), because a finished part is gone
through too: each volume is known, or embedded again, by a stamp of its own, which is saved together with its vector.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from monai.inferers import Inferer
from torch import nn

from medgenesis.data.image_fingerprints import all_fingerprints
from medgenesis.data.records import files_of
from medgenesis.data.shards import Shard, all_shards, parse_shard, shard_folder
from medgenesis.data.streamed_dataset import StreamedDataset
from medgenesis.errors import VolumeError, first_few
from medgenesis.io.naming import OutputNames, names_for
from medgenesis.networks import network_parts
from medgenesis.progress import track
from medgenesis.storage.fingerprints import (
    changes,
    file_stamps,
    fingerprint,
    object_fingerprint,
    record_fingerprint,
    transform_fingerprint,
)
from medgenesis.storage.run_folder import hold_folder
from medgenesis.storage.vectors_file import load_vectors, save_vectors

logger = logging.getLogger(__name__)

FILE, FORMAT = "embeddings.npz", 1
_SAVE_EVERY = 60.0  # seconds: what a killed run loses at most
_Embed = Callable[[Any], np.ndarray]


@dataclass
class _Part:
    """What is known of a part: of each volume that was used, by its place in the list, its name, vector, stamp and what
    tells the content of its files (`image_fingerprints`; None in parts of before).
    """

    settings: dict[str, Any]
    names: dict[int, str] = field(default_factory=dict)
    vectors: dict[int, np.ndarray] = field(default_factory=dict)
    stamps: dict[int, str] = field(default_factory=dict)
    contents: dict[int, list[str] | None] = field(default_factory=dict)
    finished: bool = False

    def save(self, path: Path) -> None:
        places = sorted(self.vectors)
        about = {"settings": self.settings, "finished": self.finished, "places": places}
        about |= {"names": [self.names[i] for i in places], "stamps": [self.stamps[i] for i in places]}
        about["contents"] = [self.contents[i] for i in places]
        rows = np.stack([self.vectors[i] for i in places]) if places else np.empty((0, 0), np.float32)
        save_vectors(path, rows, about, FORMAT)

    @classmethod
    def load(cls, path: Path) -> "_Part":
        def made(vectors: np.ndarray, about: dict[str, Any]) -> _Part:
            contents = about.get("contents", [None] * len(vectors))
            columns = (about["names"], vectors, about["stamps"], contents)
            named = (dict(zip(about["places"], one, strict=True)) for one in columns)
            return cls(about["settings"], *named, bool(about["finished"]))

        return load_vectors(path, made, FORMAT, "a part's embeddings")


def embed_part(
    network: nn.Module, volumes: StreamedDataset, windows: Any, folder: Path, shard: Shard, embed: _Embed
) -> None:
    """Embed the volumes of one part into `shards/2_of_4/embeddings.npz`; one that was stopped goes on.

    Args:
        network: its encoder's weights tell these vectors from others.
        volumes: of the whole list.
        windows: how a volume is seen, as in `embed_volume`.
        folder: of the results of the whole list.
        shard: which part.
        embed: from a prepared image to its vector.

    Raises:
        ValueError: the part is there, made with other settings or of another list.
        TypeError: an inferer that cannot be told from others, as it holds a lambda.
        DatalistError: its file is damaged or of a newer format. OutputError: it cannot be written.
        VolumeError, IntensityRangeError: a volume that cannot be used, unless they are skipped.
    """
    names, own = names_for(volumes), shard_folder(folder, str(shard))
    hold_folder(own)
    path, settings = own / FILE, part_settings(network, volumes, windows, names)
    part = _checked(_Part.load(path), path, settings) if path.exists() else _Part(settings)
    places = shard.places(len(volumes.data))
    stamps = {i: record_fingerprint(volumes.data[i]) for i in places}
    contents = dict(zip(places, all_fingerprints([volumes.data[i] for i in places]), strict=True))
    known = [i for i in places if part.stamps.get(i) == stamps[i] and part.contents[i] in (None, contents[i])]
    part = _Part(settings, *({i: of[i] for i in known} for of in (part.names, part.vectors, part.stamps)))
    part.contents = {i: contents[i] for i in known}
    left, saved = [i for i in places if i not in part.vectors], time.monotonic()
    logger.info("part %s of the list: %d volumes, of which %d are known", shard, len(places), len(known))
    try:
        for i, item, _ in volumes.read(track(left, "volumes", len(places), done=len(known))):
            if item is not None:
                part.names[i], part.vectors[i], part.stamps[i] = names.of(item), embed(item["image"]), stamps[i]
                part.contents[i] = contents[i]
            if time.monotonic() - saved > _SAVE_EVERY:
                part.save(path)
                saved = time.monotonic()
        part.finished = True
    finally:
        part.save(path)
    logger.info("%d of %d volumes were used; written: %s", len(part.vectors), len(places), path)


def joined_parts(
    network: nn.Module, volumes: StreamedDataset, windows: Any, folder: Path
) -> tuple[list[str], np.ndarray]:
    """Names and vectors of the volumes of all parts, in the order of the list.

    Args:
        network, volumes, windows, folder: as of `embed_part`.

    Raises:
        ValueError: a part is missing, not finished, made with other settings or of another list, or of files whose
            content has changed since.
        TypeError: as of `embed_part`.
        DatalistError: one is damaged or of a newer format. VolumeError: no volume of any could be used.
    """
    settings, rows = part_settings(network, volumes, windows, names_for(volumes)), {}
    contents = all_fingerprints(volumes.data)
    for shard, own in all_shards(folder):
        path = own / FILE
        if not path.exists():
            raise ValueError(f"shard: {own} must hold {FILE}; found none. Run --shard {shard}.")
        part = _checked(_Part.load(path), path, settings)
        if not part.finished:
            raise ValueError(
                f"shard: {path} must be of a part that has ended; found a part of it. Run --shard {shard}."
            )
        _check_contents(part, shard, volumes.data, contents)
        rows |= {i: (part.names[i], part.vectors[i]) for i in part.vectors}
    if not rows:
        raise VolumeError(
            f"records: must name volumes that can be used; found none of {len(volumes.data)}. See what the parts said."
        )
    if len(rows) < len(volumes.data):
        logger.warning(
            "%d of %d volumes were used, %d skipped", len(rows), len(volumes.data), len(volumes.data) - len(rows)
        )
    names, vectors = zip(*(rows[i] for i in sorted(rows)), strict=True)
    return list(names), np.stack(vectors)


def _check_contents(part: _Part, shard: Shard, records: Sequence[Mapping[str, Any]], now: list[list[str]]) -> None:
    """Refuse vectors of files whose content, of the same size, is another one now; what is not here is not compared."""
    untold = sum(one is None for one in part.contents.values())
    if untold:
        logger.warning("part %s is of an older version: whether %d files have changed cannot be told", shard, untold)
    pairs = ((i, one, now[i]) for i, one in part.contents.items() if one is not None)
    changed = [i for i, one, here in pairs if len(here) == len(one) and here != one]
    if changed:
        names = first_few([files_of(records[i])[0] for i in changed], 5)
        raise ValueError(
            f"shard: files must be those that part {shard} was made of; found another content of {names}. Run --shard "
            f"{shard} once more."
        )


def check_shard(shard: str | None, after: Any = None) -> None:
    """Refuse, before anything is read, a `shard` that is none, and one with a comparison that needs the whole list.

    Raises:
        ValueError: there is one.
    """
    if isinstance(parse_shard(shard), Shard) and after is not None:
        raise ValueError(
            f"after: must be left out for a part of the list, for it compares the whole; found it with shard {shard}. "
            "Give it with --shard merge."
        )


def part_settings(network: nn.Module, volumes: StreamedDataset, windows: Any, names: OutputNames) -> dict[str, Any]:
    """What vectors depend on. A list is told by the names of its images and the sizes of their files.

    Not by their folders and times of change, which may differ from machine to machine.
    """
    sizes = [[stamp[:2] for file in files_of(record) for stamp in file_stamps(file)] for record in volumes.data]
    return {
        "list (fingerprint)": fingerprint([list(names.names.values()), sizes]),
        "weights (fingerprint)": fingerprint(network_parts(network).encoder),
        "preprocessing (fingerprint)": transform_fingerprint(volumes.transform),
        "windows": _plain(windows),
    }


def _plain(windows: Sequence[int] | Inferer) -> Any:
    if isinstance(windows, Inferer):
        said = {"inferer": type(windows).__name__, **getattr(windows, "settings", {})}
        return {**said, "inferer (fingerprint)": object_fingerprint(windows)}
    return list(windows)


def _checked(part: _Part, path: Path, settings: Mapping[str, Any]) -> _Part:
    differing = changes(part.settings, settings)
    if differing:
        said = "; ".join(f"{name} = {values}" for name, values in differing.items())
        raise ValueError(
            f"{path}: must be made of the same list with the same settings; found that it was made with {said}. Use "
            "the same, or remove it and run the part again."
        )
    return part
