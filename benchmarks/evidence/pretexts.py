"""The pretexts of the programme, one row of a table each: add a method here, and every command knows it.

A pretext is a method of the product, what it learns from (`sources`), and how a sample is broken (`transform`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose
from torch import Tensor

from benchmarks.evidence.batches import CasesInMemory, RandCropOfCased, sources_of
from benchmarks.evidence.mined import PATTERNS, mined_sources
from benchmarks.evidence.networks import WIDTH
from benchmarks.evidence.sets import StudySet
from benchmarks.evidence.training import CLIP_NORM, PIECE, WARM_UP, train
from medgenesis.engines import PretextMethod
from medgenesis.methods import MaskedAutoencoder, ModelsGenesis, TransVW
from medgenesis.networks import UNet3D
from medgenesis.storage import fingerprint, read_checkpoint, save_checkpoint
from medgenesis.transforms import RandGenesisd, RandMaskBlocksd

Weights = dict[str, Tensor]
NO_FLIP = {"flip": 0.0}  # as the bundles: a flip would move the content of a cube
BLOCKS = {"ratio": 0.6, "block_size": 4}


@dataclass(frozen=True)
class Pretext:
    """How a network is pre-trained on the unlabelled images of a set.

    Args:
        method: makes what is trained; called after the seed is set.
        transform: random, of a crop `image` to the keys that the method takes.
        sources: of a set and the function that gives other pretexts' weights (of the same seed): what samples are
            made of; the unlabelled images by default.
        settings: what else tells this pretext from another, plain data; rows made with other settings do not mix.
        steps, batch, rate: of the training, Adam with a warm-up and a cosine.
    """

    method: Callable[[], PretextMethod]
    transform: Callable[[], Callable]
    sources: Callable[[StudySet, Callable[[str], Weights]], list[dict[str, Any]]] = field(
        default=lambda study, weights_of: sources_of(study.unlabelled)
    )
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 3000
    batch: int = 4
    rate: float = 1e-3

    def plain(self) -> dict[str, Any]:
        """All that decides the weights, beside the set and the seed."""
        training = {"steps": self.steps, "batch": self.batch, "rate": self.rate, "piece": PIECE}
        return {**self.settings, **training, "warm_up": WARM_UP, "clip_norm": CLIP_NORM, "width": WIDTH}


def _unet() -> UNet3D:
    return UNet3D(1, 1, WIDTH)


PRETEXTS: dict[str, Pretext] = {
    "models_genesis": Pretext(
        lambda: ModelsGenesis(_unet()),
        lambda: RandGenesisd(preset="models", rates=NO_FLIP),
        settings={"preset": "models", "rates": NO_FLIP},
    ),
    "masked_autoencoder": Pretext(
        lambda: MaskedAutoencoder(_unet()),
        lambda: RandMaskBlocksd("image", "mask", "target", **BLOCKS),
        settings=BLOCKS,
    ),
    "transvw": Pretext(
        lambda: TransVW(ModelsGenesis(_unet()), PATTERNS["classes"]),
        lambda: RandGenesisd(preset="models", rates=NO_FLIP),
        lambda study, weights_of: mined_sources(study, weights_of("models_genesis")),
        {"preset": "models", "rates": NO_FLIP, "patterns": PATTERNS, "features": "models_genesis"},
    ),
}


def pretrained(name: str, study: StudySet, seed: int, work: Path, *, handlers: tuple = ()) -> Weights:
    """The weights of a pretext, from the work folder where they are there, else trained; a stopped training goes on.

    Args:
        name: of `PRETEXTS`.
        study: the set.
        seed: of the weights, the samples and their order.
        work: folder for weights and checkpoints.
        handlers: of the trainer, to stop it in time for example.
    """
    pretext = PRETEXTS[name]
    key = fingerprint({"pretext": pretext.plain(), "set": study.made_of, "crop": study.crop})[:8]
    path = work / study.name / f"{name}-s{seed}-{key}.pt"
    if path.exists():
        return read_checkpoint(path)
    sources = pretext.sources(study, lambda other: pretrained(other, study, seed, work, handlers=handlers))
    torch.manual_seed(seed)
    method = pretext.method()
    transform = Compose([RandCropOfCased(study.crop), pretext.transform()])
    data = CasesInMemory(sources, transform, PIECE * pretext.batch, seed)
    begun = path.with_suffix(".begun.pt")
    train(method, data, pretext.steps, pretext.batch, pretext.rate, checkpoint=begun, handlers=handlers)
    save_checkpoint(method.network.state_dict(), path)
    begun.unlink(missing_ok=True)
    return read_checkpoint(path)
