"""One vector a study, from the self-supervised encoder: which studies are alike, before anything is drawn."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from medgenesis.data.streamed_dataset import StreamedDataset
from medgenesis.errors import DOMAIN_ERRORS
from medgenesis.inference.embedding import embed_volume
from medgenesis.label_app.config_parts import config_parts
from medgenesis.label_app.settings import AppSettings
from medgenesis.storage.atomic import replacing
from medgenesis.storage.fingerprints import fingerprint

logger = logging.getLogger(__name__)


class StudyFeatures:
    """Vectors of studies by the bundle's `embed.yaml`, each computed once and kept in the app's folder.

    Args:
        settings: of the app; with weights "scratch" the encoder is a random one, which tells intensities and sizes
            apart and little else.
        app: its folder.
    """

    def __init__(self, settings: AppSettings, app: str | Path) -> None:
        self.settings = settings
        self.folder = Path(app) / "features" / settings.made_with[:12]
        self._parts: dict | None = None
        self._without: set[str] = set()

    def of(self, names: Iterable[str], file_of: Callable[[str], str]) -> dict[str, np.ndarray]:
        """Vectors of studies by name; one that cannot be read has none, which is said once; fetching is tried again."""
        found = {}
        for name in names:
            if name in self._without:
                continue
            try:
                found[name] = self._vector(file_of(name))
            except (*DOMAIN_ERRORS, OSError) as error:
                logger.warning("no features: %s", error)
                if isinstance(error, DOMAIN_ERRORS):
                    self._without.add(name)
        return found

    def _vector(self, path: str) -> np.ndarray:
        state = Path(path).stat()
        kept = self.folder / f"{fingerprint([path, state.st_size, state.st_mtime_ns])[:24]}.npy"
        if kept.is_file():
            return np.load(kept, allow_pickle=False)
        parts = self._loaded()
        volume = next(iter(StreamedDataset([{"image": path}], parts["preprocessing"])))["image"]
        windows = parts["inferer"] if "inferer" in parts else parts["cube_size"]  # slabs, or cubes: no bundle has both
        vector = embed_volume(parts["network"], volume, windows)
        with replacing(kept) as beside:
            np.save(beside, vector)
        return vector

    def _loaded(self) -> dict:
        if self._parts is None:
            scratch = self.settings.weights == "scratch"
            names = ("preprocessing", "network_def" if scratch else "network", "inferer", "cube_size")
            parts = config_parts(self.settings, "embed", names, {"weights": self.settings.weights}, seed=0)
            self._parts = {("network" if name == "network_def" else name): part for name, part in parts.items()}
        return self._parts
