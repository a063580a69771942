"""What the records of a list are to be checked for: of a bundle's task, else what the list says of itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from medgenesis.cli.configs import BundleFolder

_PRESET_OF = (("x-ray", "xray"), ("xray", "xray"), ("mr", "mri_percentile"))  # how a list's modality begins


@dataclass(frozen=True)
class Settings:
    """Those of a bundle's `settings.yaml` that decide what is learnt from a file; their names are theirs.

    A `plan`, of nnU-Net, says intensities and spacing itself: `intensity` and `spacing_mm` then count for nothing.

    Raises:
        ValueError: a spacing or a size that is none.
    """

    intensity: str | Mapping[str, Any] | None = "ct"
    spacing_mm: Any = None
    label_merge: Mapping[str, Any] | None = None
    cube_size: Sequence[int] | None = None
    crop_criterion: str = "any"
    plan: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, value in (("spacing_mm", self.spacing_mm), ("cube_size", self.cube_size)):
            numbers = [] if value is None else np.atleast_1d(value).tolist()
            if value is not None and (len(numbers) not in (1, 3) or min(numbers) <= 0):
                raise ValueError(f"{name}: must be one number above 0, or three; found {value}. Give one an axis.")

    def in_words(self) -> str:
        """One line for a page."""
        if self.plan is not None:
            said = f"intensity as nnU-Net's plans say ({self.plan['configuration']}), spacing {self.plan['spacing']} mm"
        else:
            spacing = "as stored" if self.spacing_mm is None else f"{self.spacing_mm} mm"
            said = f"intensity {self.intensity}, spacing {spacing}"
        merge = "as they are" if not self.label_merge else f"merged by {dict(self.label_merge)}"
        cubes = (
            "" if self.cube_size is None else f", cubes {list(self.cube_size)} by the criterion {self.crop_criterion}"
        )
        return f"{said}, labels {merge}{cubes}"


def bundle_settings(bundle: BundleFolder, task: str, overlays: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of a bundle's task, overlays included; without those that it does not have.

    Raises:
        ValueError: the bundle has no such task or overlay.
    """
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config([str(path) for path in bundle.files(task, overlays)])
    parser["bundle_root"] = str(bundle.path.absolute())
    names = [field.name for field in fields(Settings) if field.name in parser.get()]
    return {name: parser.get_parsed_content(name) for name in names}


def list_settings(header: Mapping[str, Any]) -> dict[str, Any]:
    """What a list's header says: its `label_merge`, and the intensity preset of its `modality`."""
    modality = header.get("modality")
    named = str(modality.get("0", "") if isinstance(modality, Mapping) else modality or "").lower()
    presets = [preset for begin, preset in _PRESET_OF if named.startswith(begin)]
    merge = {"label_merge": header["label_merge"]} if header.get("label_merge") else {}
    return {**merge, **({"intensity": presets[0]} if presets else {})}
