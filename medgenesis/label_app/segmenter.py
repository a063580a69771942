"""The segmentation of one study by the bundle's own inference, on the study's own grid."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd
from monai.utils import convert_to_tensor
from torch import nn

from medgenesis.data.streamed_dataset import StreamedDataset
from medgenesis.io.volume_reader import LoadVolumed
from medgenesis.label_app.app_folder import labels_of
from medgenesis.label_app.choice import flip_disagreement
from medgenesis.label_app.class_order import InOrder, order_of
from medgenesis.label_app.clicks import Clicks, places_of
from medgenesis.label_app.config_parts import config_parts
from medgenesis.label_app.settings import AppSettings
from medgenesis.networks import guidance_maps
from medgenesis.weights import load_pretrained, settings_of

_TAKEN = ("preprocessing", "network", "inferer", "postprocessing", "device")


def _of_the_training(settings: AppSettings, weights: str | Path) -> dict[str, str]:
    """What the app's settings and overlays would change of that which a file of weights was trained with.

    The file's value is named, not copied: what stands in a file of weights is never read as a config.
    """
    typed = {*settings.settings, *ConfigParser.load_config_files(settings.files("inference")[1:])}
    return {id: f"$@settings[{id!r}]" for id in sorted(typed & settings_of(weights).keys())}


class Segmenter:
    """The network of some weights, with the preparation and the sliding windows of `inference.yaml`.

    Answers have the values of the app, whatever order its labels had in the training.

    Args:
        settings: of the app: bundle, overlays.
        weights: of a fine-tuning.
        options: more settings of the config, `{"device": …}`.
        network: answers in place of that of the config (whose settings are then those of `weights`), loaded already.

    Raises:
        CheckpointError: the weights are not those of this network.
    """

    def __init__(
        self,
        settings: AppSettings,
        weights: str | Path,
        options: Mapping[str, Any] | None = None,
        network: nn.Module | None = None,
    ) -> None:
        kept = _of_the_training(settings, weights)  # before what the app is started with today
        settings = replace(settings, settings={id: one for id, one in settings.settings.items() if id not in kept})
        names = [name for name in _TAKEN if network is None or name != "network"]
        parts = config_parts(settings, "inference", names, {"weights": str(weights), **kept, **(options or {})})
        self.preprocessing, self.inferer = parts["preprocessing"], parts["inferer"]
        self.device = torch.device(parts["device"])
        self.finish: Compose = parts["postprocessing"]
        self.order = list(range(1 + len(settings.labels)))  # for each value of the app that of the network
        if network is None:
            network = parts["network"]
            load_pretrained(network, weights, skip_head="never")
            self.order = order_of(settings.labels, labels_of(weights)) or self.order
            network = network if self.order == sorted(self.order) else InOrder(network, self.order)
        self.network = network.to(self.device).eval()

    def label_map(self, image: str | Path) -> MetaTensor:
        """Values of the classes, (1, *spatial), on the grid of the file.

        Raises:
            VolumeError, IntensityRangeError: the file cannot be used.
        """
        return self.finish(self._applied(image))["pred"]

    @property
    def guided(self) -> bool:
        """Whether the network was trained with clicks."""
        return bool(getattr(self.network, "guidance", 0))

    def probabilities(self, image: str | Path, clicks: Clicks | None = None) -> MetaTensor:
        """Of each class, background first, (classes, *spatial), on the grid of the file.

        Args:
            image: the file.
            clicks: class -> voxels of the file that belong to it, of a network that was trained with clicks.

        Raises:
            VolumeError: a click outside of the image; or the file cannot be used.
        """
        invert = next(step for step in self.finish.flatten().transforms if isinstance(step, Invertd))
        found = invert(self._applied(image, clicks))["pred"]
        return MetaTensor(torch.softmax(found.as_tensor().float(), 0), meta=found.meta)

    def flip_disagreement(self, image: str | Path) -> float:
        """How much of the answer changes when the study is shown mirrored: see `choice.flip_disagreement`."""
        volume = next(iter(StreamedDataset([{"image": str(image)}], self.preprocessing)))["image"]
        return flip_disagreement(lambda one: self._scores(one, volume), volume.as_tensor())

    def _applied(self, image: str | Path, clicks: Clicks | None = None) -> dict[str, Any]:
        data = next(iter(StreamedDataset([{"image": str(image)}], self.preprocessing)))
        volume = data["image"].as_tensor()
        if clicks:
            volume = torch.cat([volume, self._guidance(data["image"], image, clicks)])
        with torch.no_grad():
            found = self._scores(volume[None], data["image"])[0]
        return {**data, "pred": MetaTensor(found.cpu(), meta=data["image"].meta)}

    def _scores(self, volumes: torch.Tensor, prepared: MetaTensor) -> torch.Tensor:
        """The answer to volumes (B, C, *spatial) with the affine of a prepared image, which slabs by `step_mm` need."""
        answered = self.inferer(MetaTensor(volumes, meta=prepared.meta).to(self.device), self.network)
        return convert_to_tensor(answered, track_meta=False)

    def _guidance(self, prepared: MetaTensor, image: str | Path, clicks: Clicks) -> torch.Tensor:
        """Maps of the clicks on the grid that the network sees."""
        stored = LoadVolumed(("image",))({"image": str(image)})["image"]
        places_of(clicks, stored.shape[1:])  # in the image, or an error
        change = np.linalg.inv(np.asarray(prepared.affine)) @ np.asarray(stored.affine)
        turned = {
            self.order[value]: [(change @ [*place, 1])[:-1].tolist() for place in places]
            for value, places in clicks.items()
        }
        return guidance_maps(turned, int(getattr(self.network, "guidance", 0)), prepared.shape[1:], "cpu").to(
            prepared.dtype
        )
