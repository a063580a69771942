"""The pretexts of the programme, one row of a table each: add a method here, and every command knows it.

A pretext is a method of the product, what it learns from (`sources`), and how a sample is broken (`transform`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose
from torch import Tensor

from benchmarks.evidence.batches import CasesInMemory, RandCropOfCased, sources_of
from benchmarks.evidence.mined import PATTERNS, mined_sources
from benchmarks.evidence.networks import embedder, restorer
from benchmarks.evidence.rows import VERSION
from benchmarks.evidence.sets import StudySet
from benchmarks.evidence.training import CLIP_NORM, WARM_UP, train
from medgenesis.engines import PretextMethod
from medgenesis.errors import OutputError
from medgenesis.methods import (
    Adam,
    CAiD,
    DenseContrast,
    MaskedAutoencoder,
    ModelsGenesis,
    MomentumContrast,
    PositionRegression,
    RegionPrompts,
    SemanticGenesis,
    TransVW,
)
from medgenesis.networks import ResNet25D, YNet3D
from medgenesis.storage import fingerprint, hold_folder, read_checkpoint, save_checkpoint
from medgenesis.transforms import (
    RandGenesisd,
    RandMaskBlocksd,
    RandRegionPromptd,
    RandTwoCubesd,
    adam_views,
    caid_views,
)
from medgenesis.weights import load_pretrained

Weights = dict[str, Tensor]
NO_FLIP = {"flip": 0.0}  # as the bundles: a flip would move the content of a cube
BLOCKS = {2: {"ratio": 0.6, "block_size": 8}, 3: {"ratio": 0.6, "block_size": 4}}
QUEUE = {"queue_size": 512, "momentum": 0.99}
PRUNE_AFTER = 100  # batches of a level, as the bundle's overlay for short trainings
FEATURES, WINDOW, SEGMENTS = 16, 4, (4, 32)  # numbers of each voxel, voxels, supervoxels of a crop
WIDER = 1.5  # sides of a crop
PROMPTED = "region_prompts"  # answers without training too


def _of_unlabelled(study: StudySet, weights_of: Callable[[str], Weights]) -> list[dict[str, Any]]:
    return sources_of(study.unlabelled)


@dataclass(frozen=True)
class Pretext:
    """How a network is pre-trained on the unlabelled images of a set.

    Args:
        method: of the set: what is trained; called after the seed is set.
        transform: of the set: random, from a crop `image` to the keys that the method takes.
        settings: of the set: what else tells this pretext from another, plain data; rows made with other settings do
            not mix.
        sources: of a set and the function that gives other pretexts' weights (of the same seed): what samples are
            made of; the unlabelled images by default.
        dims: of the sets that it is for.
        whole: whether the transform gets whole images, and cuts them itself.
        steps, batch, rate: of the training, Adam with a warm-up and a cosine; the set's size may make it longer.
        begins: the pretext of `STAGES` with whose weights this one begins; None: those of the seed.
    """

    method: Callable[[StudySet], PretextMethod]
    transform: Callable[[StudySet], Callable]
    settings: Callable[[StudySet], Mapping[str, Any]]
    sources: Callable[[StudySet, Callable[[str], Weights]], list[dict[str, Any]]] = _of_unlabelled
    dims: tuple[int, ...] = (2, 3)
    whole: bool = False
    steps: int = 1000
    batch: int = 4
    rate: float = 1e-3
    begins: str | None = None

    def steps_on(self, study: StudySet) -> int:
        """Optimizer steps on a set."""
        return self.steps * study.size.longer

    def plain(self, study: StudySet) -> dict[str, Any]:
        """All that decides the weights, beside the set and the seed."""
        training = {"steps": self.steps_on(study), "batch": self.batch, "rate": self.rate}
        schedule = {"warm_up": WARM_UP, "clip_norm": CLIP_NORM}
        return {**self.settings(study), **training, **schedule, **study.size.network(study.dims)}


def _mined(study: StudySet, weights_of: Callable[[str], Weights]) -> list[dict[str, Any]]:
    return mined_sources(study, weights_of("models_genesis"))


def _anatomy(level: int, begins: str | None = None) -> Pretext:
    """One level of Adam; all three together have the steps of another pretext."""
    return Pretext(
        lambda study: Adam(ResNet25D(study.size.backbone, 1), level=level, prune_after=PRUNE_AFTER, **QUEUE),
        lambda study: adam_views(study.crop[0], level=level),
        lambda study: {
            "views": "adam_views",
            "level": level,
            "prune_after": PRUNE_AFTER,
            **QUEUE,
            "begins": None if begins is None else STAGES[begins].plain(study),
        },
        dims=(2,),
        whole=True,
        steps=334,
        batch=8,
        begins=begins,
    )


def _wider(study: StudySet) -> tuple[int, ...]:
    """What two overlapping crops are cut from: half as wide again, as far as the images go."""
    whole = study.unlabelled[0].image.shape[1:]
    return tuple(min(int(WIDER * side), most) for side, most in zip(study.crop, whole, strict=True))


STAGES: dict[str, Pretext] = {  # of pretexts that are trained in several, each before the one that begins with it
    "adam_level_0": _anatomy(0),
    "adam_level_2": _anatomy(2, begins="adam_level_0"),
}
PRETEXTS: dict[str, Pretext] = {
    "models_genesis": Pretext(
        lambda study: ModelsGenesis(restorer(study)),
        lambda study: RandGenesisd(preset="models", rates=NO_FLIP),
        lambda study: {"preset": "models", "rates": NO_FLIP},
    ),
    "region_prompts": Pretext(
        lambda study: RegionPrompts(embedder(study, FEATURES), window=WINDOW),
        lambda study: RandRegionPromptd("image", segments=SEGMENTS),
        lambda study: {"segments": SEGMENTS, "window": WINDOW, "features": FEATURES},
    ),
    "position": Pretext(
        lambda study: PositionRegression(embedder(study, study.dims)),
        lambda study: lambda item: item,
        lambda study: {"corners": "of the image"},
    ),
    "dense_contrast": Pretext(
        lambda study: DenseContrast(embedder(study, FEATURES)),
        lambda study: Compose([RandCropOfCased(_wider(study)), RandTwoCubesd("image", study.crop)]),
        lambda study: {"wider": WIDER, "features": FEATURES},
        whole=True,
    ),
    "masked_autoencoder": Pretext(
        lambda study: MaskedAutoencoder(restorer(study)),
        lambda study: RandMaskBlocksd("image", "mask", "target", **BLOCKS[study.dims]),
        lambda study: BLOCKS[study.dims],
    ),
    "caid": Pretext(
        lambda study: CAiD(restorer(study), partial(MomentumContrast, **QUEUE)),
        lambda study: caid_views(study.crop[0], mode="caid", least_side=32, align_target=True),
        lambda study: {"views": "caid_views", **QUEUE},
        dims=(2,),
        whole=True,
        batch=8,
    ),
    "adam": _anatomy(4, begins="adam_level_2"),
    "transvw": Pretext(
        lambda study: TransVW(ModelsGenesis(restorer(study)), PATTERNS["classes"]),
        lambda study: RandGenesisd(preset="models", rates=NO_FLIP),
        lambda study: {
            "preset": "models",
            "rates": NO_FLIP,
            "patterns": PATTERNS,
            "features": PRETEXTS["models_genesis"].plain(study),
        },
        _mined,
        dims=(3,),
    ),
    "semantic_genesis": Pretext(
        lambda study: SemanticGenesis(YNet3D(1, 1, study.size.width, PATTERNS["classes"])),
        lambda study: RandGenesisd(preset="semantic"),
        lambda study: {"preset": "semantic", "patterns": PATTERNS, "features": PRETEXTS["models_genesis"].plain(study)},
        _mined,
        dims=(3,),
    ),
}


class HeldElsewhere(Exception):
    """Another process runs the cells of a method of this set, or trains its weights."""


def hold_method(work: Path, study: StudySet, name: str) -> None:
    """Hold a method of a set until this process ends: its rows and weights have one writer.

    Raises:
        HeldElsewhere: another process does.
    """
    try:
        hold_folder(work / study.name / name)
    except OutputError as error:
        raise HeldElsewhere(
            f"another process works on {name} of {study.name}, in {work / study.name / name}"
        ) from error


def pretrained(name: str, study: StudySet, seed: int, work: Path, *, handlers: tuple = ()) -> Weights:
    """The weights of a pretext, from the work folder where they are there, else trained; a stopped training goes on.

    Args:
        name: of `PRETEXTS`, or of `STAGES`.
        study: the set.
        seed: of the weights, the samples and their order.
        work: folder for weights and checkpoints.
        handlers: of the trainer, to stop it in time for example.

    Raises:
        HeldElsewhere: another process works on it.
    """
    pretext = {**STAGES, **PRETEXTS}[name]
    about = {"version": VERSION, "pretext": pretext.plain(study), "set": study.made_of, "crop": study.crop}
    path = work / study.name / f"{name}-s{seed}-{fingerprint(about)[:8]}.pt"
    if path.exists():
        return read_checkpoint(path)
    hold_method(work, study, name)
    if path.exists():  # made by the process that held it
        return read_checkpoint(path)

    def weights_of(other: str) -> Weights:
        return pretrained(other, study, seed, work, handlers=handlers)

    sources, earlier = pretext.sources(study, weights_of), pretext.begins and weights_of(pretext.begins)
    torch.manual_seed(seed)
    method, steps = pretext.method(study), pretext.steps_on(study)
    if earlier:
        load_pretrained(method.network, earlier)
    crop = [] if pretext.whole else [RandCropOfCased(study.crop)]
    transform = Compose([*crop, pretext.transform(study)])
    data = CasesInMemory(sources, transform, steps * pretext.batch, seed)
    begun, how = path.with_suffix(".begun.pt"), {"device": study.device, "handlers": handlers}
    train(method, data, steps, pretext.batch, pretext.rate, checkpoint=begun, **how)
    save_checkpoint(method.network.state_dict(), path)
    begun.unlink(missing_ok=True)
    return read_checkpoint(path)
