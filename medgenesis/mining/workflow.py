"""The four steps of mining in one folder: what is done stays, what was stopped goes on."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.data import Dataset
from torch import nn

from medgenesis.data.cache import hash_record
from medgenesis.errors import CheckpointError
from medgenesis.mining.checksums import checksum, preprocessing_checksum
from medgenesis.mining.contact_sheet import draw_contact_sheet, save_image
from medgenesis.mining.discovery import discover
from medgenesis.mining.eligibility import check_eligibility, check_patients
from medgenesis.mining.feature_map import draw_feature_map
from medgenesis.mining.feature_table import VolumeFeatures
from medgenesis.mining.features import volume_features
from medgenesis.mining.loading import skip
from medgenesis.mining.partial import PartialTable
from medgenesis.mining.patterns import MINED_SECTIONS, PatternTable
from medgenesis.mining.settings import DiscoverySettings
from medgenesis.mining.similarity import pattern_similarity
from medgenesis.mining.steps import Step, Steps
from medgenesis.mining.volumes import VolumeInfo, volume_info
from medgenesis.storage.atomic import write_text

logger = logging.getLogger(__name__)

VARIANTS = ("bottleneck", "unet")
AUTOENCODER = "autoencoder/pretrained.pt"
_STEPS = {
    "autoencoder": Step((AUTOENCODER,), ("autoencoder/last.pt",)),
    "features": Step(("features.npz",)),
    "patterns": Step(("patterns.json",), ("patterns.partial.json",)),
    "images": Step(("similarity.json", "contact_sheet.png", "features.png")),
}
_SIDES_DIVIDE_BY = 8  # of the cubes that UNet3D and YNet3D take


class MiningRun:
    """Mining of some volumes in one folder: `learn`, `describe`, `discover`, `look`, in this order.

    A step whose results lie in the folder, made with the same settings of the same volumes, is skipped; one that was
    stopped goes on. Other settings are an error, so that nothing is overwritten unasked. The folder then holds the
    auto-encoder's run (`autoencoder/`), `features.npz`, `patterns.json`, `contact_sheet.png`, `features.png`,
    `similarity.json`, and the settings of each step (`steps.json`).

    Args:
        volumes: MONAI data set of `records_to_mine` and a preprocessing, as from `cached_volumes`.
        folder: of the results; made if absent.
        features: "bottleneck" or "unet", where an auto-encoder of that kind is to be learnt, or the file of a
            checkpoint whose encoder gives the features.
        volume_size: voxels (X, Y, Z) at which whole volumes are learnt from and described.
        autoencoder: the settings of its training, here only to be compared with those of an earlier run.
        discovery: fields of `DiscoverySettings` that are not to be the defaults.
        body_threshold: intensity above which is body, see `body_box`.
        on_error: "stop" at the first volume that cannot be used, or "skip" it with a warning.

    Raises:
        TypeError: a setting of discovery that does not exist.
        ValueError: a setting out of its range, a `features` that is neither, or results of other settings.
        DatalistError: fewer patients than the classes take, or a patient in both sections.
        ImportError: index "faiss" without the package.
    """

    def __init__(
        self,
        volumes: Dataset,
        folder: str | Path,
        *,
        features: str | Path = "bottleneck",
        volume_size: Sequence[int] = (128, 128, 64),
        autoencoder: Mapping[str, Any] | None = None,
        discovery: Mapping[str, Any] | None = None,
        body_threshold: float = 0.1,
        on_error: str = "stop",
    ) -> None:
        self.volumes, self.folder, self.on_error = volumes, Path(folder), on_error
        self.features, self.volume_size = features, volume_size
        self.discovery, self.body_threshold = DiscoverySettings(**(discovery or {})), body_threshold
        known = [VolumeInfo(**record, shape=(), spacing_mm=()) for record in volumes.data]
        self.row_of = {volume.image: row for row, volume in enumerate(known)}
        _check(known, self.discovery)
        self.steps = Steps(self.folder, _STEPS)
        inputs = {"volumes (checksum)": _checksum_of(volumes), "volume_size": list(volume_size)}
        self.inputs = {**inputs, "preprocessing (checksum)": preprocessing_checksum(volumes.transform)}
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

        Where it is not to be learnt, one record that can be used stands for all, because a config builds its trainer
        all the same.
        """
        if self.learns:
            own = [record for record in self.volumes.data if record["section"] == section]
            return own or self.records("training")
        usable = (record for i, record in enumerate(self.volumes.data) if self._info(i) is not None)
        return [next(usable, self.volumes.data[0])]

    def learn(self, trainer: Engine) -> None:
        """Step 1: let a trainer learn the auto-encoder; it exports the best network to `weights`.

        Every volume is looked at before, so that what discovery would refuse is known before hours are spent.

        Raises:
            CheckpointError: it has run, but there are no weights.
            DatalistError, VolumeError: volumes that discovery would refuse.
        """
        if not self.learns:
            logger.info("step 1 of 4, auto-encoder: %s is there", self.weights)
            return
        logger.info("step 1 of 4, auto-encoder: %s, in %s", self.features, self.weights.parent)
        known = [self._info(i) for i in range(len(self.volumes.data))]
        check_eligibility([info for info in known if info is not None], self.discovery, self.on_error)
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
            CheckpointError: the network gives the same features of every volume.
        """
        path = self.folder / "features.npz"
        weights = checksum(self.weights.read_bytes())
        settings = {**self.inputs, "body_threshold": self.body_threshold, "weights (checksum)": weights}
        if self.steps.done("features", settings):
            logger.info("step 2 of 4, features: %s is there", path)
            return VolumeFeatures.load(path)
        logger.info("step 2 of 4, features: by %s", self.weights)
        with self.steps.doing("features", settings):
            settings = {"body_threshold": self.body_threshold, "on_error": self.on_error}
            features = volume_features(network, self.volumes, self.volume_size, path=path, **settings)
            if features.equal:
                raise CheckpointError(
                    f"{self.weights}: gives {len(features.volumes)} volumes the same features, so it has learnt "
                    "nothing that tells patients apart: train it longer or at a lower rate, take the other variant, or "
                    "check the intensity preset"
                )
        return features

    def discover(self) -> PatternTable:
        """Steps 3 and 4: nearest patients and shared coordinates; classes found are safe after a minute, or a stop.

        Raises:
            as `discover`; ValueError for other settings, DatalistError for volumes that have moved.
        """
        path, partial = self.folder / "patterns.json", self.folder / "patterns.partial.json"
        features = VolumeFeatures.load(self.folder / "features.npz")
        settings = {**self.discovery.plain(), **self.inputs, "body_threshold": self.body_threshold}
        settings["features (checksum)"] = checksum(features.vectors)
        if self.steps.done("patterns", settings):
            logger.info("steps 3 and 4 of 4, patterns: %s is there", path)
            return PatternTable.load(path)
        logger.info("steps 3 and 4 of 4, patterns: %d classes", self.discovery.classes)
        with self.steps.doing("patterns", settings):
            with PartialTable(partial) as kept:
                table = discover(
                    features.volumes,
                    features.vectors,
                    self._loader(features.volumes),
                    **vars(self.discovery),
                    on_error=self.on_error,
                    resume=PatternTable.load(partial) if partial.exists() else None,
                    on_class=kept,
                )
            partial.replace(path)
        return table

    def look(self) -> None:
        """What shows whether the patterns are anatomy: two images, and numbers in `similarity.json`.

        Raises:
            ValueError: other settings. DatalistError: volumes that have moved.
        """
        path = self.folder / "patterns.json"
        settings = {"patterns (checksum)": checksum(path.read_bytes())}
        if self.steps.done("images", settings):
            logger.info("images: %s is there", self.folder / "contact_sheet.png")
            return
        table, features = PatternTable.load(path), VolumeFeatures.load(self.folder / "features.npz")
        load = self._loader(table.volumes)
        with self.steps.doing("images", settings):
            write_text(self.folder / "similarity.json", self._similarity(table, load))
            save_image(draw_contact_sheet(table, load), self.folder / "contact_sheet.png")
            groups = [volume.section for volume in features.volumes]
            save_image(draw_feature_map(features.vectors, groups), self.folder / "features.png")
        logger.info("%d classes: %s; look at %s", table.num_classes, path, self.folder / "contact_sheet.png")

    def _loader(self, volumes: Sequence[VolumeInfo]) -> Callable[[int], torch.Tensor]:
        rows = [self.row_of[volume.image] for volume in volumes]
        return lambda i: volumes[i].check(self.volumes[rows[i]]["image"])

    def _info(self, i: int) -> VolumeInfo | None:
        """What is noted of volume i, or None where it is left out; a function of its own, so that the volume goes."""
        try:
            return volume_info(self.volumes[i]["image"], self.volumes.data[i], self.body_threshold)
        except Exception as error:
            skip(error, self.on_error)
            return None

    def _similarity(self, table: PatternTable, load: Callable[[int], torch.Tensor]) -> str:
        criterion, sections = self.discovery.criterion, [name for name in MINED_SECTIONS if table.items(name)]
        found = {name: pattern_similarity(table, load, section=name, criterion=criterion).plain() for name in sections}
        return json.dumps(found, indent=1) + "\n"


def _check(volumes: Sequence[VolumeInfo], settings: DiscoverySettings) -> None:
    """What settings and datalist say by themselves, before any volume is read."""
    if settings.classes < 2:
        raise ValueError(f"`classes` must be at least 2, for a network to tell them apart, got {settings.classes}")
    if any(side % _SIDES_DIVIDE_BY for side in settings.cube_size):
        logger.warning(
            "cubes of %s voxels: UNet3D and YNet3D learn from cubes whose sides divide by %d: choose another "
            "`cube_size`, unless you have a network that takes these",
            list(settings.cube_size),
            _SIDES_DIVIDE_BY,
        )
    check_patients(volumes, settings)


def _checksum_of(volumes: Dataset) -> str:
    """Of the records and of the size and time of change of their files."""
    return checksum(b"".join(hash_record(record) for record in volumes.data))
