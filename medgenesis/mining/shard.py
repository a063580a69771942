"""One part of the list that is mined, on any machine: the volumes are read, and described by a checkpoint."""

import logging
from pathlib import Path
from typing import Any

from monai.data import Dataset
from torch import nn

from medgenesis.data.shards import Shard, parse_shard, shard_folder
from medgenesis.mining.features import VolumeFeatures, extract_features
from medgenesis.mining.index import COPIES, VolumeIndex, index_volumes
from medgenesis.mining.run_steps import VARIANTS
from medgenesis.mining.workflow import MiningRun
from medgenesis.weights.pretrained import SCRATCH

logger = logging.getLogger(__name__)


class MiningShard(MiningRun):
    """The steps of mining that need no other volume: `index`, and `extract_features` with the file of a checkpoint.

    Their files are in `shards/2_of_4` in the folder, the small copies in its `whole`. `MiningRun(shard="merge")` joins
    those of all parts and goes on. Folders of several machines may be put together before that; but images must have
    the same paths and times of change for all, as on a shared drive.

    Args:
        volumes: of the whole list; of the others than its own a part reads nothing.
        folder: of the results of the whole list.
        shard: "2/4", the second of four parts.
        settings: of `MiningRun`.

    Raises:
        ValueError: a `shard` that is no part; as `MiningRun`.
        DatalistError, MissingPackageError, TypeError: as `MiningRun`.
    """

    def __init__(self, volumes: Dataset, folder: str | Path, *, shard: str, **settings: Any) -> None:
        part = parse_shard(shard)
        if not isinstance(part, Shard):
            raise ValueError(
                f"shard: must be a part, I/N; found {shard!r}. Leave the overlay shard out to mine the whole list."
            )
        super().__init__(volumes, shard_folder(folder, shard), **settings)
        self.part, self.copies = part, Path(folder, COPIES)

    @property
    def weights(self) -> Path | str:
        """The checkpoint whose encoder gives the features; where that is still to be trained, "scratch"."""
        return SCRATCH if self.features in VARIANTS else Path(self.features)

    def index(self) -> VolumeIndex:
        """Read each volume of the part once (errors as of `MiningRun`, but that a part may hold none to be used)."""
        if self._index is None and self._done("index", self.indexed):
            self._index = VolumeIndex.load(self.folder, self.copies)
        if self._index is None:
            own = {"body_threshold": self.body_threshold, "on_error": self.on_error, "copies": self.copies}
            places = self.part.places(len(self.volumes.data))
            with self.steps.doing("index", self.indexed):
                self._index = index_volumes(self.volumes, self.folder, self.volume_size, places=places, **own)
        return self._index

    def extract_features(self, network: nn.Module) -> VolumeFeatures | None:
        """A feature vector a volume of the part, which may have none left.

        None where an auto-encoder must first learn from all volumes.
        """
        if self.features in VARIANTS:
            logger.info("extract_features: left to --shard merge, whose auto-encoder learns from all volumes")
            return None
        path, settings = self.folder / "features.npz", self.features_settings()
        if self._done("extract_features", settings):
            return VolumeFeatures.load(path)
        index = self.index()
        with self.steps.doing("extract_features", settings):
            return extract_features(network, index, path=path, on_error=self.on_error, part=True)
