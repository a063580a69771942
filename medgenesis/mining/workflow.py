"""The five steps of mining in one folder: what is done stays, what was stopped goes on."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.data import Dataset
from torch import nn

from medgenesis.data.shards import MERGE
from medgenesis.errors import CheckpointError
from medgenesis.mining.contact_sheet import ContactSheetTask
from medgenesis.mining.copies import warn_of_copies
from medgenesis.mining.cubes import one_pass
from medgenesis.mining.discovery import PartialTable, discover
from medgenesis.mining.discovery_input import DiscoverySettings, check_eligibility, check_settings
from medgenesis.mining.features import VolumeFeatures, extract_features
from medgenesis.mining.geometry import VolumeInfo
from medgenesis.mining.index import COPIES, VolumeIndex, index_volumes
from medgenesis.mining.joined_shards import join_features, join_indexes
from medgenesis.mining.patterns import MINED_SECTIONS, PatternTable
from medgenesis.mining.resize import check_learnable, three_sides
from medgenesis.mining.run_steps import AUTOENCODER, STEPS, VARIANTS, refuse_0_1
from medgenesis.mining.similarity import SimilarityTask
from medgenesis.renamed import renamed_methods
from medgenesis.report.image_file import save_image
from medgenesis.report.scatter import draw_feature_map
from medgenesis.storage.atomic import write_text
from medgenesis.storage.fingerprints import file_fingerprint, fingerprint, record_fingerprint, transform_fingerprint
from medgenesis.storage.steps import Steps

logger = logging.getLogger(__name__)


@renamed_methods(learn="train_autoencoder", describe="extract_features", look="report")
class MiningRun:
    """Mining of some volumes in one folder: `index`, `train_autoencoder`, `extract_features`, `discover`, `report`.

    A step whose results are in the folder, made with the same settings of the same volumes, is skipped; one that was
    stopped goes on. Other settings are an error, so that nothing is overwritten unasked. The folder then holds
    `index.json` and `whole/` (the small copies of the volumes), the auto-encoder's run (`autoencoder/`),
    `features.npz`, `patterns.json`, `contact_sheet.png`, `features.png`, `similarity.json`, and the settings of each
    step (`steps.json`).

    Args:
        volumes: MONAI data set of `records_to_mine` and a preprocessing, as from `cached_volumes`.
        folder: of the results; made if absent.
        features: "bottleneck" or "unet", where an auto-encoder of that kind is to be trained, or the file of a
            checkpoint whose encoder gives the features.
        volume_size: voxels (X, Y, Z) of the small copies, which the auto-encoder learns from and features are of;
            sides that divide by 8 where it is trained.
        autoencoder: the settings of its training, here only to be compared with those of an earlier run.
        discovery: fields of `DiscoverySettings` that are not to be the defaults.
        body_threshold: intensity above which is body, see `body_box`.
        on_error: "stop" at the first volume that cannot be used, or "skip" it with a warning.
        prepared: settings of the preprocessing, which the table keeps for the pre-training on it.
        shard: "merge": index, and features of a checkpoint, are those that the `MiningShard`s have left in the folder.

    Raises:
        TypeError: a setting of discovery that does not exist.
        ValueError: a setting out of its range, a `features` that is neither, results of other settings, or of 0.1.
        DatalistError: fewer patients than the classes take, or a patient in both sections.
        MissingPackageError: index "faiss" without the package.
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
        prepared: Mapping[str, Any] | None = None,
        shard: str | None = None,
    ) -> None:
        self.volumes, self.folder, self.on_error = volumes, Path(folder), on_error
        self.prepared = dict(prepared or {})
        self.features, self.volume_size = features, volume_size
        self.discovery, self.body_threshold = DiscoverySettings(**(discovery or {})), body_threshold
        known = [VolumeInfo(**record, shape=(), spacing_mm=()) for record in volumes.data]
        self.row_of = {volume.image: row for row, volume in enumerate(known)}
        check_settings(known, self.discovery)
        if features in VARIANTS:
            check_learnable(three_sides(volume_size, "volume_size"))
        self.merges = _merges(shard)
        self.steps = Steps(self.folder, STEPS)
        refuse_0_1(self.steps.path)
        inputs = {
            "volumes (fingerprint)": fingerprint([*map(record_fingerprint, volumes.data)]),
            "volume_size": list(volume_size),
        }
        inputs["preprocessing (fingerprint)"] = transform_fingerprint(volumes.transform)
        self.autoencoder = {"features": features, **inputs, **(autoencoder or {})}
        self.indexed = {**inputs, "body_threshold": body_threshold}
        if features not in VARIANTS and not Path(features).is_file():
            raise ValueError(
                f"features: must be one of {', '.join(VARIANTS)} or the file of a checkpoint; found {str(features)!r}, "
                "no such file. Check the path."
            )
        self.trains = features in VARIANTS and not self.steps.done("train_autoencoder", self.autoencoder)
        self._index: VolumeIndex | None = None

    @property
    def weights(self) -> Path:
        """The checkpoint whose encoder gives the features."""
        return self.folder / AUTOENCODER if self.features in VARIANTS else Path(self.features)

    def index(self) -> VolumeIndex:
        """Step 1: read each volume once. Later steps know its geometry, and take the small copy where that is enough.

        A warning names files that are copies of another patient's (`warn_of_copies`).

        Raises:
            ValueError: other settings.
            DatalistError, VolumeError, IntensityRangeError: as `index_volumes`; volumes that discovery would refuse.
            OutputError: the folder cannot be written; so of each step.
        """
        if self._index is not None:
            return self._index
        if self._done("index", self.indexed) and (self.folder / COPIES).is_dir():
            found = VolumeIndex.load(self.folder)
        else:
            own = {"body_threshold": self.body_threshold, "on_error": self.on_error}
            warn_of_copies(self.volumes.data)
            with self.steps.doing("index", self.indexed):
                if self.merges:
                    found = join_indexes(self.folder, self.indexed, list(self.row_of))
                else:
                    found = index_volumes(self.volumes, self.folder, self.volume_size, **own)
        check_eligibility(found.volumes, self.discovery, self.on_error)
        self._index = found
        return found

    @property
    def whole(self) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """From a record to the small copy of its volume: the `preprocessing` of the auto-encoder's data sets."""
        return self.index().whole

    def records(self, section: str) -> list[dict]:
        """What the auto-encoder learns from ("training"), or is judged by; without validation that is the same.

        Where it is not to be trained, one record stands for all, because a config builds its trainer all the same.
        """
        records = self.index().records
        if not self.trains:
            return records[:1]
        return [record for record in records if record["section"] == section] or self.records("training")

    def train_autoencoder(self, trainer: Engine) -> None:
        """Step 2: let a trainer learn the auto-encoder; it exports the best network to `weights`.

        Raises:
            CheckpointError: it has run, but there are no weights.
            DatalistError, VolumeError, IntensityRangeError: as `index`.
        """
        if not self.trains:
            logger.info("train_autoencoder: %s is there", self.weights)
            return
        self.index()
        with self.steps.doing("train_autoencoder", self.autoencoder):
            trainer.run()
            if not self.weights.is_file():
                raise CheckpointError(
                    f"{self.weights}: must be written by the training; found none. Remove its folder, run again."
                )

    def extract_features(self, network: nn.Module) -> VolumeFeatures:
        """Step 3: one feature vector a volume.

        Args:
            network: holds `weights`, on the device to compute on.

        Raises:
            ValueError, DatalistError, VolumeError, IntensityRangeError: as `index`; features that are not finite.
            CheckpointError: the network gives the same features of every volume.
        """
        path = self.folder / "features.npz"
        settings = self.features_settings()
        if self._done("extract_features", settings):
            return VolumeFeatures.load(path)
        index = self.index()
        with self.steps.doing("extract_features", settings):
            if self.merges and self.features not in VARIANTS:
                features = join_features(self.folder, settings, list(self.row_of))
            else:
                features = extract_features(network, index, path=path, on_error=self.on_error)
            if features.equal:
                raise CheckpointError(
                    f"{self.weights}: must tell patients apart; found the same features for {len(features.volumes)} "
                    "volumes, so it has learnt nothing. Train it longer or at a lower rate, take the other variant, or "
                    "check the intensity preset."
                )
        return features

    def features_settings(self) -> dict[str, Any]:
        """What the features depend on."""
        return {**self.indexed, "weights (fingerprint)": file_fingerprint(self.weights)}

    def discover(self) -> PatternTable:
        """Step 4: nearest patients and shared coordinates; classes found are safe after a minute, or a stop.

        Raises:
            as `discover`; ValueError for other settings, DatalistError for volumes that have moved.
        """
        path, partial = self.folder / "patterns.json", self.folder / "patterns.partial.json"
        features = VolumeFeatures.load(self.folder / "features.npz")
        settings = {**self.discovery.plain(), **self.indexed}
        settings["features (fingerprint)"] = fingerprint(features.vectors)
        if self._done("discover", settings):
            return PatternTable.load(path)
        with self.steps.doing("discover", settings):
            begun, load = PatternTable.load(partial) if partial.exists() else None, self._loader(features.volumes)
            own = {**vars(self.discovery), "on_error": self.on_error}
            with PartialTable(partial, self.prepared) as kept:
                table = discover(features.volumes, features.vectors, load, resume=begun, on_class=kept, **own)
            partial.replace(path)
        return table

    def report(self) -> None:
        """Step 5: two images and `similarity.json` show whether the patterns are anatomy; one pass over the volumes.

        Raises:
            ValueError: other settings. DatalistError: volumes that have moved.
        """
        path = self.folder / "patterns.json"
        settings = {"patterns (fingerprint)": file_fingerprint(path)}
        if self._done("report", settings):
            return
        table, features = PatternTable.load(path), VolumeFeatures.load(self.folder / "features.npz")
        sections, criterion = [name for name in MINED_SECTIONS if table.items(name)], self.discovery.criterion
        numbers = {name: SimilarityTask(table, section=name, criterion=criterion) for name in sections}
        sheet = ContactSheetTask(table)
        with self.steps.doing("report", settings):
            one_pass(self._loader(table.volumes), *numbers.values(), sheet)
            found = {name: task.result().plain() for name, task in numbers.items()}
            write_text(self.folder / "similarity.json", json.dumps(found, indent=1) + "\n")
            save_image(sheet.result(), self.folder / "contact_sheet.png")
            groups = [volume.section for volume in features.volumes]
            save_image(draw_feature_map(features.vectors, groups), self.folder / "features.png")
        logger.info("%d classes; written: %s, %s", table.num_classes, path, self.folder / "contact_sheet.png")

    def _done(self, step: str, settings: Mapping[str, Any]) -> bool:
        done = self.steps.done(step, settings)
        logger.info("%s: %s", step, "done before, in this folder" if done else f"begins, in {self.folder}")
        return done

    def _loader(self, volumes: Sequence[VolumeInfo]) -> Callable[[int], torch.Tensor]:
        rows = [self.row_of[volume.image] for volume in volumes]
        return lambda i: volumes[i].check(self.volumes[rows[i]]["image"])


def _merges(shard: str | None) -> bool:
    if shard in (None, MERGE):
        return shard is not None
    raise ValueError(
        f'shard: must be "{MERGE}", or None; found {shard!r}. Type medgenesis mine --shard {shard}, or add the overlay '
        "shard, whose run is of a part."
    )
