"""Published weights into a bundle: the network of its own config, filled, with the settings of every task after it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import nn

from medgenesis.bundles.network_settings import without_foreign
from medgenesis.bundles.reading import Reading
from medgenesis.bundles.shared import settings as bundle_settings
from medgenesis.errors import CheckpointError
from medgenesis.weights.catalog import Published, chosen_entry
from medgenesis.weights.inspection import Inspected, inspect_weights
from medgenesis.weights.kept import FRESH, keep
from medgenesis.weights.origin import published_origin
from medgenesis.weights.pretrained import load_pretrained
from medgenesis.weights.report import WeightsReport
from medgenesis.weights.settings import ModelSettings, with_settings
from medgenesis.weights.sidecar import save_with_sidecar, sidecar_of, source_of

logger = logging.getLogger(__name__)

_CLASSES = 44  # of the published discovery, where the file has no head of classes


# how images are prepared: of a file that does not tell, the bundle's are not kept as if the network had seen such
_OF_IMAGES = {"intensity", "spacing_mm", "cube_size", "size", "step_mm", "axis", "crop_criterion", "preset"}


@dataclass(frozen=True)
class Imported:
    """What was written, and what is to be said of it."""

    weights: Path
    sidecar: Path
    found: Inspected
    entry: Published | None
    report: WeightsReport
    settings: Mapping[str, Any]
    origin: Mapping[str, Any] | None


def import_weights(
    path: str | Path,
    configs: Sequence[Path],
    models: Path,
    *,
    entry: str | None = None,
    given: Mapping[str, Any] | None = None,
    partial: bool = False,
    tensors_only: bool = False,
    name: str = "pretrained",
) -> Imported:
    """Write weights and what is known of them, NAME.pt and NAME.json, into the folder of a bundle's models.

    Args:
        path: a published file, or one of our training.
        configs: the bundle's ``pretrain.yaml`` (or ``embed.yaml``) and overlays: they say which network, and
            which settings tasks share.
        models: the folder; what it holds already is kept in `earlier/`.
        entry: name in the catalogue; needed where the keys are those of several, whose terms or inputs differ.
        given: settings that go before those known of the file (``slices``, ``in_channels``, …).
        partial: take what fits (see ``load_pretrained``).
        tensors_only: see ``load_published``.
        name: of the two files; tasks begin with ``pretrained`` unasked.

    Raises:
        CheckpointError: the file cannot be read or is not whole, may be several of the catalogue, or does not fill the
            network; nothing is written.
        ValueError: no such entry, or a config without ``network_def``.
        OutputError: the folder cannot be written.
    """
    found = inspect_weights(path, tensors_only=tensors_only, any_network=True, partial=partial)
    chosen = chosen_entry(path, found.among, entry, found.possible, found.ours)
    if chosen is None and not found.ours:
        logger.warning("%s: not in the catalogue: its terms and its input are not known", path)
    if chosen is not None and chosen.contradicted_by(found.digests):
        logger.warning(
            "%s: its checksum is not the published one of %s: saved again, or another file", path, chosen.name
        )
    known = {**found.settings, **(chosen.settings if chosen else {}), **(given or {})}
    network, kept = _network(configs, known, given or {}, found)
    if "intensity" not in kept:
        expects = chosen.expects if chosen else (found.origin or {}).get("expects", "not known")
        logger.warning(
            "%s: its intensities (%s) are no setting here: that of the bundle's tasks counts, which may be another; "
            "prepare the images so, and type --set intensity=RULE where a rule of ours is theirs",
            path,
            expects,
        )
    report = load_pretrained(
        network, path, inflate_input=True, partial=partial, tensors_only=tensors_only, head=_head_of(network)
    )
    # what the file has not is not saved as if it had been learnt
    state = network.state_dict()
    fresh = [key for key in state if key not in report.matched]
    state = {key: value for key, value in state.items() if key not in fresh}
    origin = (
        found.origin
        if found.ours
        else published_origin([chosen] if chosen else [], source_of(found.path, found.digests))
    )
    layout = found.layout.slug if found.layout else found.report.layout
    sidecar = sidecar_of(
        source_of(found.path, found.digests), layout, origin, report, kept, found.told, partial=partial
    )
    saved = keep(with_settings(state, kept, origin), FRESH, fresh or None)
    beside = save_with_sidecar(saved, sidecar, models / f"{name}.pt")
    return Imported(models / f"{name}.pt", beside, found, chosen, report, kept, origin)


def _network(
    configs: Sequence[Path], known: Mapping[str, Any], given: Mapping[str, Any], found: Inspected
) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a bundle's config with the settings known of a file, and what is kept among its weights."""
    from monai.bundle import ConfigParser

    root = Path(configs[0]).parent.parent
    shared = bundle_settings(root, ModelSettings({"in_channels": 1, **known}, str(found.path)))
    channels = shared["in_channels"]
    if type(channels) is not int or channels < 1:
        raise CheckpointError(
            f"{found.path}: in_channels must be a positive whole number; found {str(channels)[:60]!r}. Type it: "
            "--set in_channels=1."
        )
    classifier = found.weights.get("classifier.fc.weight")
    table = SimpleNamespace(
        num_classes=_CLASSES if classifier is None else len(classifier), settings={"cube_size": shared.get("cube_size")}
    )
    # objects, not texts: what a file holds is never read as a config
    parser = ConfigParser(globals={"medgenesis": "medgenesis", "known_settings": shared, "known_table": table})
    parser.read_config([str(path) for path in configs])
    config = parser.get()
    if "network_def" not in config:
        raise ValueError(f"{configs[0]}: must have network_def; found none. Name the overlay or task that has it.")
    parser["bundle_root"] = str(root)
    parser["settings"] = "$known_settings"
    if "table" in config:
        parser["table"] = "$known_table"
    if "in_channels" in config:
        parser["in_channels"] = "$known_settings['in_channels']"
    for name in given:  # ids of an overlay too; what the user types may be an expression, as in any command
        if name in parser and name != "in_channels":
            parser[name] = given[name]
    parser.parse(True)
    try:
        network = parser.get_parsed_content("network_def", instantiate=True)
    except (RuntimeError, ValueError, TypeError) as error:  # MONAI's says which class, not why
        why = " ".join(str(error.__cause__ or error).split())
        told = ", ".join(f"{name}={value}" for name, value in known.items())
        raise CheckpointError(
            f"{found.path}: network_def of {', '.join(Path(path).name for path in configs)} must be a network that "
            f"can be built with what is known of the file ({told}); found that it cannot ({why}). Choose another "
            "bundle or overlay, or type the settings: --set ID=VALUE."
        ) from error
    kept = parser.get_parsed_content("kept", instantiate=True) if "kept" in config else {}
    kept = without_foreign(kept, Reading(parser))
    return network, {name: value for name, value in kept.items() if name in known or name not in _OF_IMAGES}


def _head_of(network: nn.Module) -> str | None:
    """The name of the heads of nnU-Net's networks, which `network_parts` does not know."""
    return "decoder.seg_layers" if hasattr(getattr(network, "decoder", None), "seg_layers") else None
