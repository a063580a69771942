"""How badly the self-supervised network restores a study: strange studies are worth a label."""

from pathlib import Path

from medgenesis.data.streamed_dataset import StreamedDataset
from medgenesis.inference.restore import restoration_error
from medgenesis.label_app.config_parts import config_parts
from medgenesis.label_app.settings import AppSettings

_SLABS = 8  # of a volume, where the network sees slabs
_CHANCE = ("corrupt", "distort", "hide", "crop")  # what draws in `restore.yaml`, as far as it is there


class Restoration:
    """The pretext task of the bundle's `restore.yaml` on single studies.

    Args:
        settings: of the app.
    """

    def __init__(self, settings: AppSettings) -> None:
        self.settings = settings
        self._parts: dict | None = None
        self.made_with = settings.made_with if self.possible else None

    @property
    def possible(self) -> bool:
        """Whether the bundle restores at all, and there are weights that have learnt it."""
        return self.settings.weights != "scratch" and Path(self.settings.files("restore")[0]).is_file()

    def error_of(self, image: str | Path) -> float:
        """Mean squared error of the restored study, intensities in [0, 1]; the same at each call.

        Raises:
            VolumeError: the study cannot be read.
            CheckpointError: the weights do not restore, an encoder alone for example.
        """
        parts = self._loaded()
        volume = next(iter(StreamedDataset([{"image": str(image)}], parts["preprocessing"])))["image"]
        for name in _CHANCE:
            if hasattr(parts.get(name), "set_random_state"):
                parts[name].set_random_state(0)
        network = parts.get("method", parts["network"])
        if "crop" not in parts:
            return restoration_error(network, volume, parts["corrupt"], parts["cube_size"])
        slabs = [parts["crop"]({"image": volume})["image"] for _ in range(1 if volume.ndim == 3 else _SLABS)]
        size = [parts["size"]] * 2
        return sum(restoration_error(network, slab, parts["corrupt"], size) for slab in slabs) / len(slabs)

    def _loaded(self) -> dict:
        if self._parts is None:
            names = ("preprocessing", "network", "method", *_CHANCE, "cube_size", "size")
            self._parts = config_parts(self.settings, "restore", names, {"weights": self.settings.weights})
        return self._parts
