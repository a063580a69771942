"""Feature inversion: the image that a generator finds from an encoder's features alone; 2D and 3D."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from medgenesis.networks import SkipGenerator
from medgenesis.networks.skip_generator import CHANNELS, NOISE_CHANNELS
from medgenesis.progress import track
from medgenesis.transfer.analyses.inner_features import InnerFeatures
from medgenesis.transfer.encoder import Encoder

logger = logging.getLogger(__name__)

_NOISE = 0.1
_TOLD_EVERY = 50  # steps
_LEAST_SIDE = {2: 32, 3: 16}


@dataclass(frozen=True)
class Inversion:
    """Settings.

    Args:
        steps: of Adam; the published reconstructions have 3000.
        rate: its learning rate.
        layer: of the features, see `InnerFeatures`.
        seed: of the noise and of the generator's weights.
        compat: as the study: without the encoder's own input normalisation, and one step more.
    """

    steps: int = 1000
    rate: float = 1e-3
    layer: str | None = None
    seed: int = 0
    compat: bool = False


@dataclass(frozen=True, eq=False)
class Inverted:
    """What was found of one image.

    Attributes:
        image: (C, *spatial) in [0, 1].
        feature_error: mean square of the difference of the features over that of the features; 0 is the same.
        losses: (step, mean squared error) every 50 steps and at the last.
    """

    image: Tensor
    feature_error: float
    losses: list[tuple[int, float]]


def invert(encoder: Encoder, image: Tensor, settings: Inversion) -> Inverted:
    """Find an image whose features are those of this one, by a generator of fixed noise whose weights are learnt.

    Args:
        encoder: frozen.
        image: (C, *spatial) in [0, 1], as the encoder takes it: sides of 32 pixels, of volumes 16 voxels, or more.
        settings: of the search.

    Raises:
        ValueError: settings below their range, an image that is too small, no such layer, or features that have no
            gradient or are not finite.

    References:
        Ulyanov et al., Deep image prior, CVPR 2018 (arXiv 1711.10925); Anton et al., J. Imaging 8(12):320, 2022.

    Notes:
        Of volumes, and of images below 128 pixels, the generator halves the sides less often than 6 times, for its
        smallest map to have 2 voxels a side. The image is the first corner of what the generator makes, whose sides are
        multiples of its reduction.
    """
    sides = tuple(image.shape[1:])
    if settings.steps < 1 or not settings.rate > 0:
        raise ValueError(
            f"steps, rate: must be at least 1 and above 0; found {settings.steps} and {settings.rate}. Correct them."
        )
    if len(sides) not in _LEAST_SIDE or min(sides) < _LEAST_SIDE[len(sides)]:
        raise ValueError(
            f"image: must have sides of {_LEAST_SIDE.get(len(sides), 32)} or more, to be inverted; found {sides}. Give "
            "a larger --size."
        )
    features = InnerFeatures(encoder, settings.layer, compat=settings.compat)
    plain = image.as_subclass(Tensor).float().to(encoder.device)[None]
    with torch.no_grad():
        target = features(plain)
    if not torch.isfinite(target).all():
        raise ValueError("image: its features must be finite; found NaN or infinity. Look at the image.")
    generator, noise = _prior(sides, len(image), settings.seed, encoder.device)
    optimizer = torch.optim.Adam(generator.parameters(), settings.rate)
    corner = (slice(None), slice(None), *(slice(side) for side in sides))
    losses: list[tuple[int, float]] = []
    best, kept = math.inf, plain.new_zeros(plain.shape)
    for step in track(range(1, settings.steps + settings.compat + 1), f"steps of {encoder.name}"):
        made = generator(noise)[corner]
        loss = F.mse_loss(features(made), target)
        if not loss.requires_grad:
            raise ValueError(
                f"{encoder.name}: its features must have a gradient, to be inverted; found none. Give a network, or a "
                "function of PyTorch that is differentiable."
            )
        value = loss.detach().item()
        if not math.isfinite(value):
            logger.warning("%s: the loss is %s at step %d: the best image so far is kept", encoder.name, value, step)
            break
        if value < best:
            best, kept = value, made.detach()
        if step == 1 or step % _TOLD_EVERY == 0 or step == settings.steps + settings.compat:
            losses.append((step, value))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    else:
        with torch.no_grad():
            kept = generator(noise)[corner]
    found = kept.clamp(0, 1)
    with torch.no_grad():
        error = float(F.mse_loss(features(found), target) / target.square().mean().clamp_min(1e-30))
    return Inverted(found[0].cpu(), error, losses)


def _prior(sides: Sequence[int], channels: int, seed: int, device: torch.device) -> tuple[SkipGenerator, Tensor]:
    """The generator and its noise, whose sides are the next multiples of its reduction."""
    scales = min(len(CHANNELS), int(math.log2(min(sides))) - 1)
    grid = [-(-side // 2**scales) * 2**scales for side in sides]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = SkipGenerator(channels, len(sides), scales)
        noise = torch.rand(1, NOISE_CHANNELS, *grid) * _NOISE
    return generator.to(device).train(), noise.to(device)
