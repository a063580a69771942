"""A network of ours in the place of a task's own, beside the settings that are kept with its weights."""

import inspect
import pydoc
from collections.abc import Mapping
from typing import Any

from medgenesis.bundles.reading import Reading, being_read
from medgenesis.bundles.shared import Settings
from medgenesis.bundles.unused import reached_from

_OWN = "medgenesis.networks."
_PLANNED = "medgenesis.networks.planned_network"
_SHAPE = ("width", "norm")
_BY_NETWORK = (*_SHAPE, "backbone", "input_normalisation", "guidance", "head_levels")
_SETTING_OF = {"guidance": "click_channels"}  # what is kept under another name than the setting's
_SWIN_PATCH, _SWIN_REDUCTION = 2, 32  # voxels; of MONAI's SwinUNETR as it is without other arguments
_CHANNELS = ("in_channels", "out_channels")  # mostly expressions, that read the list


def refuse_other_network(reading: Reading, settings: Settings) -> None:
    """Refuse a `network_def` of ours, of a training, that differs from the settings of its arguments' names.

    They are `kept` with the weights, and the tasks after it build their network by them. What an argument that is
    left out is, the network's signature says. Channels are compared where they are numbers: those that the list tells
    are not asked for before a file is read, and the network refuses others. Networks of other packages are left alone,
    and tasks that apply a model as it is (`Settings.applied`).

    Raises:
        ValueError: it differs in one.
    """
    config = reading.parser.get()
    network = config.get("network_def")
    if (
        settings.applied
        or "kept" not in config
        or not isinstance(network, Mapping)
        or not str(network.get("_target_")).startswith(_OWN)
    ):
        return
    made = pydoc.locate(network["_target_"])
    arguments = inspect.signature(made).parameters if callable(made) else {}  # of a mistyped one MONAI says it
    for id in (*_SHAPE, *(id for id in _CHANNELS if isinstance(config.get(id), int))):
        if id not in config or id not in arguments or network.get(id) == f"@{id}":
            continue
        wanted = reading.parser.get_parsed_content(id)
        left_out = id not in network
        if left_out and arguments[id].default is inspect.Parameter.empty:  # which the network refuses itself
            continue
        found = arguments[id].default if left_out else reading.parser.get_parsed_content(f"network_def#{id}")
        if _plain(found) != _plain(wanted):
            raise ValueError(
                f"network_def: {id} must be the setting {id}, {wanted!r}, which is kept with the weights; found "
                f"{found!r}{', as it is left out' if left_out else ''}. Write {id}: '@{id}' there, or give --{id}."
            )


def refuse_undefined(reading: Reading) -> None:
    """Refuse a `network_def` that refers to a setting which the task has not: known else when all volumes are read.

    Raises:
        ValueError: it does.
    """
    config = reading.parser.get()
    absent = sorted(reached_from(config, "network_def") - config.keys() - {""}) if "network_def" in config else []
    if absent:
        raise ValueError(
            f"network_def: must refer to settings of this task; found {', '.join(absent)}, which it has not. Leave the "
            "overlay out of it (the pre-training of semantic_genesis_ct takes no other network: it needs a head for "
            f"classes), or type what it lacks: --{absent[0]} VALUE."
        )


def kept_settings(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept with the weights: the `kept` of the config being read, without settings that its network has not.

    Another network in the place of the bundle's may have no width: that of settings.yaml would be told of its weights.
    """
    reading = being_read()
    return dict(kept) if reading is None else without_foreign(kept, reading)


def without_foreign(kept: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    """Likewise, of a config that is named.

    Args:
        kept: settings.
        reading: what evaluates the config: its `network_def` has a setting where it refers to it, or is of ours with an
            argument of that name.
    """
    config = reading.parser.get()
    if "network_def" not in config:
        return dict(kept)
    network, own = config["network_def"], ()
    if isinstance(network, Mapping) and str(network.get("_target_")).startswith(_OWN):
        made = pydoc.locate(network["_target_"])
        own = inspect.signature(made).parameters if callable(made) else ()
    has = {*reached_from(config, "network_def"), *own}
    return {id: kept[id] for id in kept if id not in _BY_NETWORK or {id, _SETTING_OF.get(id, id)} & has}


def refuse_indivisible_cubes(reading: Reading) -> None:
    """Refuse a `cube_size` of the config being read that the network of nnU-Net's plans cannot halve so often.

    Raises:
        ValueError: a side does not divide by the network's strides.
    """
    from medgenesis.networks.architecture import check_divisible

    config = reading.parser.get()
    network = config.get("network_def")
    planned = isinstance(network, Mapping) and network.get("_target_") == _PLANNED
    if planned and "cube_size" in config and "plan" in config:
        plan, cube_size = (reading.parser.get_parsed_content(id) for id in ("plan", "cube_size"))
        remedy = f"Give multiples of them, or leave it out: the plan's patch is {list(plan['patch_size'])}"
        check_divisible(plan["architecture"], cube_size, "cube_size", remedy)


def refuse_small_cubes(reading: Reading) -> None:
    """Refuse a `cube_size` of the config being read of which MONAI's SwinUNETR leaves one voxel: instance norm, in its
    bottleneck, needs two.

    Raises:
        ValueError: no side is above 32.
    """
    config = reading.parser.get()
    network = config.get("network_def")
    if not (isinstance(network, Mapping) and str(network.get("_target_")).endswith(".SwinUNETR")):
        return
    if "cube_size" not in config or network.get("patch_size", _SWIN_PATCH) != _SWIN_PATCH:
        return
    sides = reading.parser.get_parsed_content("cube_size")
    whole = [sides] if isinstance(sides, int) else list(sides)
    if max(whole) <= _SWIN_REDUCTION:
        raise ValueError(
            f"cube_size: must be above {_SWIN_REDUCTION} on one side for SwinUNETR, whose last map has a 32nd of it; "
            f"found {sides}. Give multiples of 32: --cube_size '{[2 * _SWIN_REDUCTION] * len(whole)}'."
        )


def _plain(value: Any) -> Any:
    """Lists and tuples are alike: YAML knows lists alone."""
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
