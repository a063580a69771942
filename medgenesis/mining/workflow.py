"""The four steps of mining in one folder: what is done stays, what was stopped goes on."""

import hashlib
import inspect
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.data import Dataset
from monai.data.utils import pickle_hashing
from torch import nn

from medgenesis.atomic import write_text
from medgenesis.data.cube_rules import get_rule
from medgenesis.data.disk_cache import hash_record
from medgenesis.errors import CheckpointError
from medgenesis.mining.admission import check_patients, check_settings
from medgenesis.mining.contact_sheet import draw_contact_sheet, save_picture
from medgenesis.mining.coordinates import MODES
from medgenesis.mining.discovery import discover
from medgenesis.mining.feature_map import draw_feature_map
from medgenesis.mining.feature_table import VolumeFeatures
from medgenesis.mining.features import volume_features
from medgenesis.mining.neighbours import nearest
from medgenesis.mining.patterns import MINED_SECTIONS, PatternTable
from medgenesis.mining.similarity import pattern_similarity
from medgenesis.mining.steps import Step, Steps
from medgenesis.mining.volumes import VolumeInfo

logger = logging.getLogger(__name__)

VARIANTS = ("unet", "bottleneck")
AUTOENCODER = "autoencoder/pretrained.pt"
_STEPS = {
    "autoencoder": Step((AUTOENCODER,), ("autoencoder/last.pt",)),
    "features": Step(("features.npz",)),
    "patterns": Step(("patterns.json",), ("patterns.partial.json",)),
    "pictures": Step(("similarity.json", "contact_sheet.png", "features.png")),
}
_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(discover).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("on_error", "resume", "on_class")
}


class MiningRun:
    """Mining of some volumes in one folder: `learn`, `describe`, `discover`, `look`, in this order.

    A step whose results lie in the folder, made with the same settings of the same volumes, is skipped; one that was
    stopped goes on. Other settings are an error, so that nothing is overwritten unasked. The folder then holds the
    auto-encoder's run (`autoencoder/`), `features.npz`, `patterns.json`, `contact_sheet.png`, `features.png`,
    `similarity.json`, and the settings of each step (`steps.json`).

    Args:
        volumes: MONAI data set of `records_to_mine` and a preprocessing, as from `cached_volumes`.
        folder: of the results; made if absent.
        features: "unet" or "bottleneck", where an auto-encoder of that kind is to be learnt, or the file of a
            checkpoint whose encoder gives the features.
        volume_size: voxels (X, Y, Z) at which whole volumes are learnt from and described.
        autoencoder: the settings of its training, here only to be compared with those of an earlier run.
        discovery: settings of `discover` that are not its defaults.
        on_error: "stop" at the first volume that cannot be used, or "skip" it with a warning.

    Raises:
        ValueError: a setting out of its range, a `features` that is neither, or results of other settings.
        DatalistError: fewer patients than the classes take, or a patient in both sections.
        ImportError: index "faiss" without the package.
    """

    def __init__(
        self,
        volumes: Dataset,
        folder: str | Path,
        *,
        features: str | Path = "unet",
        volume_size: Sequence[int] = (128, 128, 64),
        autoencoder: Mapping[str, Any] | None = None,
        discovery: Mapping[str, Any] | None = None,
        on_error: str = "stop",
    ) -> None:
        self.volumes, self.folder, self.on_error = volumes, Path(folder), on_error
        self.features, self.volume_size = features, volume_size
        self.discovery = {**_DEFAULTS, **(discovery or {})}
        known = [VolumeInfo(**record, shape=(), spacing_mm=()) for record in volumes.data]
        self.row_of = {volume.image: row for row, volume in enumerate(known)}
        _check(known, self.discovery)
        self.steps = Steps(self.folder, _STEPS)
        inputs = {"volumes (checksum)": _checksum_of(volumes), "volume_size": list(volume_size)}
        self.inputs = {**inputs, "preprocessing (checksum)": _preprocessing_of(volumes)}
        self.autoencoder = {"features": features, **self.inputs, **(autoencoder or {})}
        if features not in VARIANTS and not Path(features).is_file():
            raise ValueError(
                f"`features` must be one of {', '.join(VARIANTS)} or the file of a checkpoint, got {str(features)!r}: "
                "no such file"
            )
        self.learns = features in VARIANTS and not self.steps.done("autoencoder", self.autoencoder)

    @property
    def weights(self) -> Path:
        """The checkpoint whose encoder describes the volumes."""
        return self.folder / AUTOENCODER if self.features in VARIANTS else Path(self.features)

    def records(self, section: str) -> list[dict]:
        """What the auto-encoder learns from ("training"), or is judged by; without validation that is the same.

        Where it is not to be learnt one record stands for all, because a config builds its trainer all the same.
        """
        own = [record for record in self.volumes.data if record["section"] == section]
        own = own or self.records("training")
        return own if self.learns else own[:1]

    def learn(self, trainer: Engine) -> None:
        """Step 1: let a trainer learn the auto-encoder; it exports the best network to `weights`.

        Raises:
            CheckpointError: it has run, but there are no weights.
        """
        if not self.learns:
            logger.info("step 1 of 4, auto-encoder: %s is there", self.weights)
            return
        logger.info("step 1 of 4, auto-encoder: %s, in %s", self.features, self.weights.parent)
        with self.steps.doing("autoencoder", self.autoencoder):
            trainer.run()
            if not self.weights.is_file():
                raise CheckpointError(
                    f"{self.weights}: was not written by the training: remove its folder, and run anew"
                )

    def describe(self, network: nn.Module) -> VolumeFeatures:
        """Step 2: one feature vector a volume.

        Args:
            network: holds `weights`, on the device to compute on.

        Raises:
            ValueError, DatalistError, VolumeError, IntensityRangeError: as `volume_features`; other settings.
        """
        path = self.folder / "features.npz"
        settings = {**self.inputs, "weights (checksum)": _checksum(self.weights.read_bytes())}
        if self.steps.done("features", settings):
            logger.info("step 2 of 4, features: %s is there", path)
            return VolumeFeatures.load(path)
        logger.info("step 2 of 4, features: by %s", self.weights)
        with self.steps.doing("features", settings):
            return volume_features(network, self.volumes, self.volume_size, path=path, on_error=self.on_error)

    def discover(self) -> PatternTable:
        """Steps 3 and 4: nearest patients and shared coordinates; each class that is found is safe.

        Raises:
            as `discover`; ValueError for other settings, DatalistError for volumes that have moved.
        """
        path, partial = self.folder / "patterns.json", self.folder / "patterns.partial.json"
        features = VolumeFeatures.load(self.folder / "features.npz")
        settings = {**self.discovery, **self.inputs, "features (checksum)": _checksum(features.vectors.tobytes())}
        if self.steps.done("patterns", settings):
            logger.info("steps 3 and 4 of 4, patterns: %s is there", path)
            return PatternTable.load(path)
        logger.info("steps 3 and 4 of 4, patterns: %d classes", self.discovery["classes"])
        with self.steps.doing("patterns", settings):
            table = discover(
                features.volumes,
                features.vectors,
                self._loader(features.volumes),
                **self.discovery,
                on_error=self.on_error,
                resume=PatternTable.load(partial) if partial.exists() else None,
                on_class=lambda found: found.save(partial),
            )
            partial.replace(path)
        return table

    def look(self) -> None:
        """What shows whether the patterns are anatomy: two pictures, and numbers in `similarity.json`.

        Raises:
            ValueError: other settings, or features that are all alike. DatalistError: volumes that have moved.
        """
        path = self.folder / "patterns.json"
        settings = {"patterns (checksum)": _checksum(path.read_bytes())}
        if self.steps.done("pictures", settings):
            logger.info("pictures: %s is there", self.folder / "contact_sheet.png")
            return
        table, features = PatternTable.load(path), VolumeFeatures.load(self.folder / "features.npz")
        load = self._loader(table.volumes)
        with self.steps.doing("pictures", settings):
            write_text(self.folder / "similarity.json", self._similarity(table, load))
            save_picture(draw_contact_sheet(table, load), self.folder / "contact_sheet.png")
            groups = [volume.section for volume in features.volumes]
            save_picture(draw_feature_map(features.vectors, groups), self.folder / "features.png")
        logger.info("%d classes: %s; look at %s", table.num_classes, path, self.folder / "contact_sheet.png")

    def _loader(self, volumes: Sequence[VolumeInfo]) -> Callable[[int], torch.Tensor]:
        rows = [self.row_of[volume.image] for volume in volumes]
        return lambda i: self.volumes[rows[i]]["image"]

    def _similarity(self, table: PatternTable, load: Callable[[int], torch.Tensor]) -> str:
        rule, found = self.discovery["rule"], {}
        for section in MINED_SECTIONS:
            if table.items(section):
                numbers = asdict(pattern_similarity(table, load, section=section, rule=rule))
                numbers["per_class"] = [_or_none(value) for value in numbers["per_class"]]
                found[section] = {
                    name: value if name == "per_class" else _or_none(value) for name, value in numbers.items()
                }
        return json.dumps(found, indent=1) + "\n"


def _check(volumes: Sequence[VolumeInfo], settings: Mapping[str, Any]) -> None:
    """What would else be known only after the auto-encoder has learnt for hours."""
    check_settings(settings)
    get_rule(settings["rule"])
    if settings["coordinates"] not in MODES:
        raise ValueError(f"`coordinates` must be one of {', '.join(MODES)}, got {settings['coordinates']!r}")
    nearest(np.zeros((1, 1)), np.zeros((1, 1)), 1, settings["index"])
    check_patients(volumes, settings)


def _checksum_of(volumes: Dataset) -> str:
    """Of the records and of the size and time of change of their files."""
    return _checksum(b"".join(hash_record(record) for record in volumes.data))


def _preprocessing_of(volumes: Dataset) -> str:
    return pickle_hashing(list(volumes.transform.flatten().transforms)).decode()[:16]


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _or_none(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if math.isnan(value) else value
