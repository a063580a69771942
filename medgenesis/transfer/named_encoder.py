"""The encoder that a command names: a bundle, a file of weights, a Python function, a control, or an untrained one."""

import copy
import importlib
import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medgenesis import bundles
from medgenesis.errors import CheckpointError
from medgenesis.networks import ResNet25D, network_parts
from medgenesis.networks.resnet25d import FEATURE_CHANNELS
from medgenesis.storage.fingerprints import file_fingerprint
from medgenesis.transfer.controls import CONTROLS, control
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.published_network import network_of_file
from medgenesis.transfer.results import LOADED
from medgenesis.weights import load_pretrained
from medgenesis.weights.begun import absent_of
from medgenesis.weights.report import first_keys, percent

logger = logging.getLogger(__name__)

RANDOM = "random:"
_SIZE_2D, _SIZE_3D = (224, 224), (64, 64, 32)


def open_encoder(
    named: str,
    *,
    seed: int = 0,
    size: tuple[int, ...] | None = None,
    device: str | torch.device = "cpu",
    tensors_only: bool = False,
) -> Encoder:
    """The encoder of a text `[LABEL=]WHAT`, or `LABEL=FILE#ENTRY`.

    ==================  ========================================================================================
    `WHAT`
    ==================  ========================================================================================
    a bundle            the name of one, or its folder: the encoder and weights of its task `embed`; of another
                        MONAI bundle `network_def` and `models/model.pt`
    a file              weights: of our training, or any that `load_published` reads. `#ENTRY` says which model of
                        the catalogue it is (`medgenesis weights list`), where several have its keys
    `module:callable`   a function of batches, or a class or function without arguments that gives one; it may have
                        `dims`, `channels`, `size`, `intensity`
    `random:WHAT`       the network of any of these, or `random:resnet50`, newly initialised by the seed
    `pixels`            the raw intensities
    `handmade`          a histogram, sizes, and places of brightness
    `table`             the numbers that the data set's own table gives (`numbers` of a record)
    ==================  ========================================================================================

    Args:
        named: the text.
        seed: of an untrained network.
        size: of its input, in place of that of its training.
        device: for the network.
        tensors_only: see `load_published`.

    Raises:
        ValueError: nothing of that name.
        CheckpointError: weights that cannot be read, or are of several models that see their images differently.
    """
    label, what = _label_of(named)
    trained = not what.startswith(RANDOM)
    source = what.removeprefix(RANDOM)
    file, _, entry = source.partition("#")
    torch.manual_seed(seed)
    if source in CONTROLS and trained:
        return control(source, label)
    if source in FEATURE_CHANNELS and not trained:
        encoder = Encoder(label or what, ResNet25D(source), 2, 3, _SIZE_2D, told={"backbone": source})
    elif source in bundles.names() or (Path(source) / "configs").is_dir():
        encoder = _of_bundle(source, trained)
    elif Path(file).is_file():
        encoder = _of_file(Path(file), entry or None, trained, tensors_only)
    elif ":" in source:
        encoder = _of_callable(source, None if trained else seed)
    else:
        raise ValueError(
            f"encoder: must be a bundle ({', '.join(bundles.names())}, or a folder), a file of weights, "
            f"module:callable, {RANDOM}WHAT, or one of {', '.join(CONTROLS)}; found {named!r}. Check the path."
        )
    if isinstance(encoder.network, nn.Module):
        encoder.network.to(device)
    told = {"encoder": what if ":" in what and trained else Path(what).name, **encoder.told}
    told |= {} if trained else {"untrained, seed": seed}
    return replace(encoder, name=label or _short(what), size=size or encoder.size, told=told)


def _label_of(named: str) -> tuple[str | None, str]:
    label, equals, what = named.partition("=")
    return (label, what) if equals and "/" not in label and "\\" not in label else (None, named)


def _short(what: str) -> str:
    """Of a path its last name, of others all."""
    start, source = (RANDOM, what.removeprefix(RANDOM)) if what.startswith(RANDOM) else ("", what)
    return start + (Path(source).stem if "/" in source else source)


def _of_bundle(named: str, trained: bool) -> Encoder:
    from monai.bundle import ConfigParser

    folder = Path(named).absolute()  # of one's own, or where runs of a packaged bundle of that name write
    root = folder if (folder / "configs").is_dir() else bundles.path(named)
    config = root / "configs" / "embed.yaml"
    if not config.is_file():
        return _of_foreign_bundle(root, trained)
    parser = ConfigParser()
    parser.read_config(str(config))
    parser["bundle_root"] = str(root)
    own = folder / "models" / "pretrained.pt"
    if root != folder and own.is_file():
        parser["weights"] = str(own)
    ids = parser.get()
    weights = parser.get_parsed_content("weights")
    if trained and not Path(weights).is_file():
        raise CheckpointError(
            f"{weights}: must be the weights of the bundle; found no file. Pre-train first, or name the bundle "
            f"{RANDOM}{named}."
        )
    network = parser.get_parsed_content("network" if trained else "network_def")
    flat = "slices" in ids
    size = (int(parser.get_parsed_content("size")),) * 2 if flat else tuple(parser.get_parsed_content("cube_size"))
    encoder = network_parts(network).encoder
    told = {"bundle": root.name, "weights": Path(weights).name if trained else None}
    told |= _told_of_absent(network, encoder, weights)
    return Encoder(
        "",
        encoder,
        2 if flat else 3,
        parser.get_parsed_content("slices" if flat else "in_channels"),
        size,
        parser.get_parsed_content("intensity"),
        parser.get_parsed_content("spacing_mm"),
        told=told,
    )


def _of_foreign_bundle(root: Path, trained: bool) -> Encoder:
    """Of a MONAI bundle that is not ours: its network and weights; how it prepares its images is not asked."""
    from monai.bundle import ConfigParser

    names = ("inference.json", "inference.yaml", "evaluate.json", "evaluate.yaml", "train.json", "train.yaml")
    config = next((root / "configs" / name for name in names if (root / "configs" / name).is_file()), None)
    parser = ConfigParser()
    if config is not None:
        parser.read_config(str(config))
        parser["bundle_root"] = str(root)
    if config is None or "network_def" not in parser.get():
        raise ValueError(
            f"{root}: must be a bundle whose configs have network_def; found {config or 'no config of inference'}. "
            "Give its network as module:callable."
        )
    logger.warning("%s: a bundle is a program; its images are prepared as medgenesis does, see --intensity", root)
    network = parser.get_parsed_content("network_def")
    if trained:
        load_pretrained(network, root / "models" / "model.pt", skip_head="never")
    stem = next(one for one in network.modules() if isinstance(one, (nn.Conv2d, nn.Conv3d)))
    dims = stem.weight.ndim - 2
    size = _SIZE_2D if dims == 2 else (96, 96, 96)
    return Encoder("", network_parts(network).encoder, dims, stem.in_channels, size, told={"bundle": root.name})


def _of_file(path: Path, entry: str | None, trained: bool, tensors_only: bool) -> Encoder:
    network, known, told = network_of_file(path, entry, tensors_only=tensors_only)
    if trained:
        logger.info("%s", load_pretrained(network, path, tensors_only=tensors_only))
    flat = isinstance(network, ResNet25D)
    size = known.get("size") if flat else known.get("cube_size")
    size = ((size,) * 2 if isinstance(size, int) else tuple(size)) if size else _SIZE_2D if flat else _SIZE_3D
    channels = network.slices if flat else known.get("in_channels", 1)
    expects = known.get("intensity"), known.get("spacing_mm")
    encoder = network_parts(network).encoder
    told |= _told_of_absent(network, encoder, path)
    return Encoder("", encoder, 2 if flat else 3, channels, size, *expects, told=told)


def _told_of_absent(network: nn.Module, encoder: nn.Module, source: str | Path) -> dict[str, Any]:
    """What is told, and warned of, where some of an encoder's weights are not of its file; nothing where all are."""
    absent, whole, share = absent_of(network, encoder)
    if not absent:
        return {}
    count = f"{whole - len(absent)} of {whole}"
    logger.warning(
        "%s: %s weights of the encoder (%s of its numbers) are of the file, and the others newly initialised (%s): "
        "what is found is not what the weights are worth",
        source,
        count,
        percent(share),
        first_keys(absent),
    )
    return dict(zip(LOADED, (count, round(share, 4)), strict=True))


def _of_callable(named: str, untrained: int | None) -> Encoder:
    """Of a function or class, `untrained`: with weights drawn anew by this seed, whatever it came with."""
    module, _, name = named.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"encoder: must name a function or class that Python can import, as module:callable; found {named!r} "
            f"({error}). Check the spelling, and PYTHONPATH."
        ) from error
    made = isinstance(found, nn.Module) or (not inspect.isclass(found) and _takes_a_batch(found))
    network: Callable = found if made else found()
    dims = getattr(network, "dims", None)
    size = getattr(network, "size", None) or {2: _SIZE_2D, 3: _SIZE_3D}.get(dims, _SIZE_2D)
    channels = getattr(network, "channels", 3 if dims == 2 else 1)
    if dims not in (2, 3):
        raise ValueError(
            f"encoder: must say by an attribute `dims` how many spatial axes its images have, 2 or 3; found {dims!r} "
            f"of {named}. Set it: network.dims = 2, and network.channels where they are not 3 (of volumes 1)."
        )
    if untrained is not None:
        network = _drawn_anew(network, named, untrained)
    source = getattr(sys.modules[module], "__file__", None)
    told = {"function": named, "source (fingerprint)": file_fingerprint(source) if source else None}
    intensity = getattr(network, "intensity", None)
    return Encoder("", network, dims, channels, tuple(size), intensity, told=told)


def _drawn_anew(network: Any, named: str, seed: int) -> nn.Module:
    """A copy whose weights are those of `reset_parameters` of its modules; refused where some have none."""
    modules = list(network.modules()) if isinstance(network, nn.Module) else []
    own = [one for one in modules if next(one.parameters(recurse=False), None) is not None]
    fixed = next((type(one).__name__ for one in own if not hasattr(one, "reset_parameters")), None)
    if not own or fixed is not None:
        raise ValueError(
            f"encoder: {RANDOM}WHAT must be a network whose modules have reset_parameters, to be initialised anew; "
            f"found {fixed or 'no weights'} in {named}. Give a function that builds it untrained, by its own name."
        )
    fresh = copy.deepcopy(network)
    torch.manual_seed(seed)
    for module in fresh.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return fresh


def _takes_a_batch(found: Any) -> bool:
    """Whether a function has an argument without default."""
    try:
        arguments = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(one.default is one.empty and one.kind in (0, 1) for one in arguments)
