"""A linear probe of the frozen encoder, because restoration loss alone misleads."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.networks.utils import eval_mode
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, Preprocessing, RandAcceptedCropd, load_datalist
from medgenesis.networks import bottleneck_features, network_parts
from medgenesis.renamed import renamed_arguments


class FrozenProbe:
    """Ask, every few epochs, what a linear classifier reads from the frozen encoder.

    Each position of the encoder's last feature map sees a cell of the cube; its class is the label that most of the
    cell's voxels have. A ridge classifier is fitted to the positions of the training cubes and scored on those of
    the test cubes by balanced accuracy, which goes to `state.metrics["probe"]` and so into every log.

    Args:
        train_data_loader: a few labelled cubes: `image` (B, C, *spatial), `label` (B, 1, *spatial) of whole numbers.
        test_data_loader: the same, of other patients.
        every: epochs between probes; in between, the last figure stands.

    Raises:
        ValueError: from the handler, where the training cubes' cells all have one class.
    """

    def __init__(self, train_data_loader: DataLoader, test_data_loader: DataLoader, every: int = 5) -> None:
        self.train_data_loader, self.test_data_loader, self.every = train_data_loader, test_data_loader, every

    @classmethod
    @renamed_arguments(cut="crop", cubes_per_volume="patches_per_image")
    def from_datalist(
        cls, datalist: str | Path, preprocessing: Callable, crop: Callable, patches_per_image: int = 8, every: int = 5
    ) -> "FrozenProbe":
        """A probe of random cubes: fitted to the list's training section, scored on its validation section.

        Args:
            datalist: with label maps.
            preprocessing: of `image` and `label`, as from `medgenesis.data.preprocessing`.
            crop: as `RandAcceptedCropd` with `label_keys`.
            patches_per_image: the same cubes every time.
            every: epochs between probes.
        """
        loaders = [
            DataLoader(
                PatchDataset(
                    load_datalist(datalist, section),
                    preprocessing,
                    crop,
                    patches_per_image=patches_per_image,
                    cache="memory",
                    keys=("image", "label"),
                ),
                patches_per_image,
            )
            for section in ("training", "validation")
        ]
        return cls(*loaders, every=every)

    @classmethod
    def prepared_like(
        cls,
        preprocessing: Preprocessing,
        datalist: str | Path | None,
        label_merge: Mapping[int | str, Any] | None = None,
        *,
        size: Sequence[int],
        criterion: str = "foreground",
        patches_per_image: int = 8,
        every: int = 5,
    ) -> "FrozenProbe | None":
        """The probe of a training: of random cubes, their volumes prepared as those that are learnt from.

        Args:
            preprocessing: of the training.
            datalist: with label maps; None: there is no probe.
            label_merge: target label -> source labels, as of `medgenesis.data.preprocessing`.
            size: of the cubes, in voxels.
            criterion: which cubes are asked, see `RandAcceptedCropd`; those of thinner volumes are padded.
            patches_per_image: the same cubes every time.
            every: epochs between probes.
        """
        if datalist is None:
            return None
        crop = RandAcceptedCropd("image", size, criterion, label_keys="label", pad=True)
        return cls.from_datalist(datalist, preprocessing.with_labels(label_merge), crop, patches_per_image, every)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch % self.every == 0 or "probe" not in engine.state.metrics:
            network = engine.method.network
            engine.state.metrics["probe"] = probe_encoder(
                network, self.train_data_loader, self.test_data_loader, engine.state.device
            )


def probe_encoder(
    network: nn.Module, train_data_loader: DataLoader, test_data_loader: DataLoader, device: torch.device
) -> float:
    """Balanced accuracy in [0, 1] of a ridge classifier on the frozen encoder's last feature map (see
    `FrozenProbe`).
    """
    with eval_mode(network):
        train_features, train_classes = _cells(network, train_data_loader, device)
        test_features, test_classes = _cells(network, test_data_loader, device)
    if len(np.unique(train_classes)) < 2:
        raise ValueError(
            "train_data_loader: the probe's training cubes must hold several classes; found one class only "
            f"({train_classes[0]}). Give cubes with several labels."
        )
    mean, spread = train_features.mean(0), train_features.std(0) + 1e-6
    classifier = RidgeClassifier(class_weight="balanced").fit((train_features - mean) / spread, train_classes)
    return float(balanced_accuracy_score(test_classes, classifier.predict((test_features - mean) / spread)))


def _cells(network: nn.Module, loader: DataLoader, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Features (cells, channels) and majority labels (cells,) of all positions of the last feature map."""
    encoder = network_parts(network).encoder
    features, classes = [], []
    for batch in loader:
        bottleneck = bottleneck_features(encoder(batch["image"].to(device)))
        features.append(bottleneck.flatten(2).transpose(1, 2).flatten(0, 1).float().cpu().numpy())
        classes.append(_majority(batch["label"], bottleneck.shape[2:]).flatten().numpy())
    return np.concatenate(features), np.concatenate(classes)


def _majority(label: Tensor, shape: torch.Size) -> Tensor:
    """The commonest label of each cell, (B, *shape)."""
    values = label.unique()
    pool = nn.functional.adaptive_avg_pool3d if len(shape) == 3 else nn.functional.adaptive_avg_pool2d
    shares = [pool((label == value).float(), shape) for value in values]
    return values[torch.cat(shares, dim=1).argmax(dim=1)]
