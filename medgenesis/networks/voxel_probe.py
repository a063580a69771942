"""Labels carried from one image to others by frozen features: a linear classifier of voxels on all levels."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from monai.networks.nets import SegResNet
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from medgenesis.networks.level_head import enlarged

PER_CLASS = 150  # voxels that are drawn of each class in a crop
_LEAST_SPREAD = 0.01  # of a feature, share of the median feature's: dead channels are no evidence
PENALTY = 0.001  # weight of the squared coefficients against one voxel's loss
_DECODER_STAGES = ("levels", "blocks", "stages")  # of UNet3D; of MONAI's FlexibleUNet and UNet25D; of nnU-Net's


def has_levels(network: nn.Module) -> bool:
    """Whether `FeatureLevels` knows where the maps of a network are."""
    return bool(_stages(network))


def _stages(network: nn.Module) -> list[nn.Module]:
    """What computes the maps one after the other: those of the decoder, where an encoder lists its own."""
    if isinstance(network, SegResNet):
        return [*network.down_layers, *network.up_layers]
    decoder = getattr(network, "decoder", None) if hasattr(network, "encoder") else None
    found = (getattr(decoder, name, None) for name in _DECODER_STAGES)
    return next(([*one] for one in found if isinstance(one, nn.ModuleList)), [])


class FeatureLevels(nn.Module):
    """What a U-Net makes of an image, from the intensities to its last decoder level.

    Args:
        network: with `encoder`, which returns a list of maps, and `decoder`, whose `levels`, `blocks` or `stages` are
            applied one after the other: `UNet3D`, `UNet25D`, the networks of nnU-Net's plans; or MONAI's SegResNet.
            Not changed.

    Shape:
        input: images (B, C, *spatial).
        returns: the images, the maps of the encoder and those of the decoder: a list of (B, channels, *some spatial).

    Raises:
        ValueError: another network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not has_levels(network):
            raise ValueError(
                "network: must be a UNet3D, UNet25D, SegResNet or one of nnU-Net's plans, whose maps are known; found "
                f"{type(network).__name__}. Take one of these for drafts and frozen features, or fine-tune."
            )
        self.network = network

    def forward(self, x: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        encoded: Iterable[Tensor] = ()
        hooks = [stage.register_forward_hook(lambda _, __, out: found.append(out)) for stage in _stages(self.network)]
        try:
            if isinstance(self.network, SegResNet):
                self.network(x)
            else:
                guided = getattr(self.network, "guided", None)  # a network of clicks is given none
                encoded = self.network.encoder(x if guided is None else guided(x))
                self.network.decoder(encoded)
        finally:
            for hook in hooks:
                hook.remove()
        return [x, *encoded, *found]


class VoxelProbe(nn.Module):
    """Linear classifier of voxels on the levels of a frozen network, one 1x1 convolution a level.

    The answers of each level are resized to the image and added, which is the classifier on the resized features: both
    steps are linear.

    Args:
        levels: see `FeatureLevels`.
        coefficients: (classes, features), of the features of all levels one after the other.
        intercepts: (classes,).

    Shape:
        input: images (B, C, *spatial).
        returns: logits (B, classes, *spatial).
    """

    def __init__(self, levels: FeatureLevels, coefficients: np.ndarray, intercepts: np.ndarray) -> None:
        super().__init__()
        self.levels = levels
        self.register_buffer("coefficients", torch.as_tensor(coefficients, dtype=torch.float32))
        self.register_buffer("intercepts", torch.as_tensor(intercepts, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        axes = (1,) * (x.ndim - 2)
        total, first = self.intercepts.view(1, -1, *axes), 0
        for level in self.levels(x):
            own = self.coefficients[:, first : first + level.shape[1]]
            first += level.shape[1]
            answers = torch.einsum("kc,bc...->bk...", own, level.as_subclass(Tensor))
            total = total + enlarged(answers, x.shape[2:])
        return total


def fit_voxel_probe(
    network: nn.Module,
    crops: Iterable[tuple[Tensor, Tensor]],
    num_classes: int,
    *,
    per_class: int = PER_CLASS,
    seed: int = 0,
    alike: bool = True,
) -> VoxelProbe:
    """Fit a classifier of voxels to labelled crops; seconds, and nothing of the network is changed.

    Of each crop equally many voxels of each class are drawn, so that a structure that is a hundredth of the image is
    learnt as well as all else.

    Args:
        network: see `FeatureLevels`; used in evaluation mode, on the device of its weights.
        crops: images (C, *spatial) with label maps (1, *spatial), whole numbers.
        num_classes: background included; a class that the crops lack is never answered.
        per_class: voxels drawn of a class in a crop, at most.
        seed: of the draw.
        alike: classes are answered as if they were equally frequent, which finds more and makes structures too large;
            False: as frequent as they are in the crops (the intercepts are shifted by what the draw has changed).

    Raises:
        ValueError: the crops hold fewer than two classes.

    References:
        Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016 (arXiv 1610.01644).
        King and Zeng, Logistic regression in rare events data, Political Analysis 9 (2001): the shift.
    """
    levels = FeatureLevels(network)
    with eval_mode(network):
        sample = draw_voxels(levels, crops, num_classes, per_class, seed, next(network.parameters()).device)
    coefficients, intercepts = sample.linear_classifier(num_classes, alike)
    intercepts[sample.counts == 0] = -1e4
    return VoxelProbe(levels, coefficients, intercepts)


@dataclass(frozen=True)
class VoxelSample:
    """Voxels of labelled crops.

    Args:
        features: (N, F), of all maps one after the other.
        classes: (N,).
        counts: (classes,) voxels of the crops, drawn or not.
    """

    features: np.ndarray
    classes: np.ndarray
    counts: np.ndarray

    def linear_classifier(self, num_classes: int, alike: bool) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (classes, F) and intercepts (classes,), see `fit_voxel_probe`; those of absent classes are 0.

        Raises:
            ValueError: fewer than two classes.
        """
        if (self.counts > 0).sum() < 2:
            raise ValueError(
                "labels: must be of two classes at least, background counted; found "
                f"{np.flatnonzero(self.counts).tolist()} alone. Label a structure, or give crops that show one."
            )
        coefficients, intercepts = _linear(self.features, self.classes, num_classes)
        if not alike:
            there = self.counts > 0
            drawn = np.bincount(self.classes, minlength=num_classes)
            intercepts[there] += np.log(self.counts[there] / drawn[there])
        return coefficients, intercepts


@torch.no_grad()
def draw_voxels(
    maps_of: Callable[[Tensor], list[Tensor]],
    crops: Iterable[tuple[Tensor, Tensor]],
    num_classes: int,
    per_class: int,
    seed: int,
    device: torch.device | str,
    together: int = 1,
) -> VoxelSample:
    """Features of voxels of labelled crops, of each crop equally many of each class, and of which class they are.

    Args:
        maps_of: images (B, C, *spatial) -> maps (B, channels, *some spatial), in evaluation mode.
        crops, num_classes, per_class, seed: see `fit_voxel_probe`.
        device: where the images are to be.
        together: crops of one batch, where they are of one shape; it matters to `norm="batch_always"` alone.

    Raises:
        ValueError: a label beyond the classes, or maps of other sides than the crops (`pad_to_multiple`).
    """
    rng = np.random.default_rng(seed)
    rows, classes, counts = [], [], np.zeros(num_classes)
    for some in batches_of(crops, together):
        images = torch.stack([torch.as_tensor(image) for image, _ in some])
        maps = [level.as_subclass(Tensor) for level in maps_of(images.to(device).as_subclass(Tensor))]
        for number, (_, label) in enumerate(some):
            values = _values(label, num_classes)
            if maps[-1].shape[2:] != values.shape:
                raise ValueError(
                    f"crops: must have the sides of the network's last map, {tuple(maps[-1].shape[2:])}; found "
                    f"{values.shape}. Give crops whose sides divide by what its poolings multiply to."
                )
            drawn = _drawn(values.ravel(), num_classes, per_class, rng)
            at = np.stack(np.unravel_index(drawn, values.shape), 1)
            own = [_at(level[number : number + 1], at, values.shape) for level in maps]
            rows.append(torch.cat(own, 1).cpu().numpy())
            classes.append(values.ravel()[drawn])
            counts += np.bincount(values.ravel(), minlength=num_classes)
    return VoxelSample(np.concatenate(rows), np.concatenate(classes), counts)


def batches_of(crops: Iterable[tuple[Tensor, ...]], together: int) -> Iterator[list[tuple[Tensor, ...]]]:
    """The crops in their order, at most so many at a time, those of a batch of one shape."""
    batch: list[tuple[Tensor, ...]] = []
    for crop in crops:
        if batch and (len(batch) == together or crop[0].shape != batch[0][0].shape):
            yield batch
            batch = []
        batch.append(crop)
    if batch:
        yield batch


def _values(label: Tensor, num_classes: int) -> np.ndarray:
    """Whole numbers (*spatial) of a label map (1, *spatial)."""
    values = np.asarray(label)[0].astype(int)
    if values.min() < 0 or values.max() >= num_classes:
        wrong = values[(values < 0) | (values >= num_classes)].ravel()[0]
        raise ValueError(
            f"labels: must be from 0 to {num_classes - 1}, for the {num_classes} classes of the network; found "
            f"{wrong}. Merge the labels, or build the network with more outputs."
        )
    return values


def _drawn(flat: np.ndarray, classes: int, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of voxels, at most so many of each class."""
    chosen = []
    for value in range(classes):
        there = np.flatnonzero(flat == value)
        chosen.append(rng.permutation(there)[:per_class])
    return np.concatenate(chosen)


def _at(level: Tensor, at: np.ndarray, shape: Sequence[int]) -> Tensor:
    """Features (voxels, channels) of a map (1, channels, *some spatial), resized to a shape, at voxels (n, axes)."""
    sides = torch.tensor(list(shape), dtype=torch.float32)
    places = (2 * torch.as_tensor(at, dtype=torch.float32) + 1) / sides - 1
    grid = places.flip(1).view(1, *(1,) * (len(shape) - 1), len(at), len(shape)).to(level)
    found = F.grid_sample(level, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.flatten(2)[0].T


def _linear(features: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercepts of all classes, for features as they are; 0 of absent classes."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, spread = features.mean(0), features.std(0)
    spread = np.maximum(spread, max(_LEAST_SPREAD * float(np.median(spread)), 1e-6))  # else huge weights of channels
    model = LogisticRegression(C=1 / (PENALTY * len(features)), max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near the minimum is enough
        model.fit((features - mean) / spread, labels)
    there = model.classes_
    own, free = model.coef_, model.intercept_
    if len(there) == 2:  # one row, of the second class against the first
        own, free = np.concatenate([-own / 2, own / 2]), np.concatenate([-free / 2, free / 2])
    coefficients, intercepts = np.zeros((num_classes, features.shape[1])), np.zeros(num_classes)
    coefficients[there], intercepts[there] = own / spread, free - own @ (mean / spread)
    return coefficients, intercepts
