"""What a label app is made of, kept in its folder: the server and the process that trains read the same."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from medgenesis.errors import DatalistError
from medgenesis.storage.atomic import write_text
from medgenesis.storage.fingerprints import file_fingerprint, fingerprint
from medgenesis.weights import settings_of

FILE = "label_app.json"
BACKGROUND = "background"
FEW_LABELS = "few_labels"


@dataclass(frozen=True)
class AppSettings:
    """A label app.

    Attributes:
        name: of the bundle, and of the model that viewers show.
        bundle: its folder, which is only read.
        labels: names of the structures; the first is 1 in label maps.
        weights: what training begins with: a file of self-supervised weights, or scratch.
        overlays: of the bundle, quick for example.
        settings: of the bundle's configs, by id.
        model: weights of an earlier fine-tuning to begin with, or None.
    """

    name: str
    bundle: str
    labels: list[str]
    weights: str = "scratch"
    overlays: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    model: str | None = None

    def __post_init__(self) -> None:
        names = [name.strip().casefold() for name in self.labels]
        if not names or not all(names) or len(set(names)) < len(names) or BACKGROUND in names or len(names) > 254:
            raise DatalistError(
                f"--labels: must be 1 to 254 different names, background left out; found {self.labels}. Name each "
                "structure once."
            )

    @property
    def classes(self) -> dict[str, int]:
        """Name -> value in label maps."""
        return {name: value for value, name in enumerate(self.labels, start=1)}

    @property
    def made_with(self) -> str:
        """Fingerprint of what decides features: bundle, weights, overlays and settings."""
        weights = self.weights if self.weights == "scratch" else file_fingerprint(self.weights)
        own = {"bundle": self.name, "overlays": self.overlays, "settings": self.settings}
        return fingerprint({"weights": weights, **own})

    @property
    def dimension(self) -> int:
        """2 of radiographs, 3 of volumes; the overlay `slabs` shows volumes to a network of slices."""
        return 3 if "slabs" in self.overlays else len(self._image["spatial_shape"])

    @property
    def modality(self) -> str:
        """MR where the bundle, or the setting `intensity` (typed, else of the weights) says so, else CT: as DICOM names
        it."""
        weights = {} if self.weights == "scratch" else settings_of(self.weights)
        intensity = self.settings.get("intensity", weights.get("intensity", ""))
        said = f"{self._image.get('modality', '')} {intensity}".upper()
        return "MR" if "MR" in said else "CT"

    @property
    def _image(self) -> dict[str, Any]:
        metadata = json.loads((Path(self.bundle) / "configs" / "metadata.json").read_text(encoding="utf-8"))
        return metadata["network_data_format"]["inputs"]["image"]

    def files(self, task: str) -> list[str]:
        """Config files of a task and the overlays, as MONAI's workflows take them.

        Fine-tuning has the bundle's overlay `few_labels` too, before the app's own: what is trained goes on from what
        the draft shows.
        """
        own = [FEW_LABELS] if task == "finetune" and self._has_few_labels() else []
        return [self._file(name) for name in (task, *own, *self.overlays)]

    def _has_few_labels(self) -> bool:
        """Whether the bundle has that overlay, and its own network, of whose head alone it knows."""
        if FEW_LABELS in self.overlays or not Path(self._file(FEW_LABELS)).is_file():
            return False
        overlays = [ConfigParser.load_config_file(self._file(name)) for name in self.overlays]
        ids = {id.replace("::", "#") for given in (self.settings, *overlays) for id in given}
        return not any(id == "network" or id.partition("#")[0] == "network_def" for id in ids)

    def _file(self, name: str) -> str:
        return str(Path(self.bundle) / "configs" / f"{name}.yaml")

    def write(self, folder: str | Path) -> None:
        """Keep them in the app's folder."""
        write_text(Path(folder) / FILE, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, folder: str | Path) -> "AppSettings":
        """Those of an app's folder.

        Raises:
            DatalistError: there are none, or the file is damaged.
        """
        path = Path(folder) / FILE
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DatalistError(
                f"{path}: cannot be read ({error}). Start the app by `medgenesis label-app`, which writes it."
            ) from error
