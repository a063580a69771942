"""nnU-Net's plans: what one configuration says of the network and of what it sees, as plain values.

The plan that is kept here is what the tasks of a bundle share, and what stands among the weights: `axes`, `spacing`,
`resampling`, `channels` and `architecture`, beside the sizes of a patch and a batch.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.json_files import read_json_object
from medgenesis.data.nnunet.plan_channels import channels_of_plans
from medgenesis.errors import DatalistError
from medgenesis.networks.architecture import architecture_of, check_divisible

logger = logging.getLogger(__name__)

_AXES = (2, 1, 0)  # nnU-Net's arrays are (z, y, x)
_STORED = ("SimpleITKIO", "NibabelIO")  # voxels in the order of the file
_REORIENTED = ("SimpleITKIOWithReorient", "NibabelIOWithReorient")  # turned to RAS before
_RESAMPLING = "resample_data_or_seg_to_shape"


def read_plans(path: str | Path) -> dict[str, Any]:
    """The plans in a file (`nnUNetPlans.json`).

    Raises:
        ValueError: absent, unreadable, or the plans of nnU-Net v1.
    """
    path = Path(path)
    if path.suffix in (".pkl", ".pickle"):
        raise ValueError(
            f"{path}: must be the plans of nnU-Net v2 (JSON); found a pickle, as nnU-Net v1 wrote them, which is not "
            "opened, as it could run code. Plan the data set anew: nnUNetv2_plan_and_preprocess."
        )
    try:
        plans = read_json_object(path)
    except FileNotFoundError as error:
        raise ValueError(
            f"{path}: must be nnU-Net's plans; found no file. They are nnUNet_preprocessed/DATASET/nnUNetPlans.json."
        ) from error
    except DatalistError as error:
        raise ValueError(
            f"{path}: must be nnU-Net's plans; found a file that is no JSON object ({error.__cause__}). Give "
            "nnUNet_preprocessed/DATASET/nnUNetPlans.json."
        ) from error
    return check_plans(plans, str(path))


def read_dataset_json(plans: str | Path, path: str | Path | None = None) -> dict[str, Any] | None:
    """Content of nnU-Net's `dataset.json`: the file, or else the one beside the plans, or None where there is none.

    Raises:
        ValueError: the file is absent, or no JSON object.
    """
    found = Path(plans).parent / "dataset.json" if path is None else Path(path)
    if path is None and not found.is_file():
        return None
    try:
        return read_json_object(found)
    except (FileNotFoundError, DatalistError) as error:
        reason = error.__cause__ or error
        raise ValueError(
            f"{found}: must be nnU-Net's dataset.json; cannot be read ({reason}). Check the path."
        ) from error


def check_plans(plans: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The same, if they are plans of nnU-Net v2.

    Raises:
        ValueError: those of v1, or something else.
    """
    if not isinstance(plans, Mapping):
        raise ValueError(
            f"{source}: must be the plans of nnU-Net v2, a mapping; found {type(plans).__name__}. Give "
            "nnUNet_preprocessed/DATASET/nnUNetPlans.json, or a fold's checkpoint as nnU-Net wrote it."
        )
    if "plans_per_stage" in plans:
        raise ValueError(
            f"{source}: must be the plans of nnU-Net v2; found those of v1 (plans_per_stage). Plan the data set anew: "
            "nnUNetv2_plan_and_preprocess."
        )
    if not isinstance(plans.get("configurations"), Mapping):
        raise ValueError(
            f"{source}: must be the plans of nnU-Net v2, with `configurations`; found {', '.join(list(plans)[:5])}. "
            "Give nnUNet_preprocessed/DATASET/nnUNetPlans.json."
        )
    return dict(plans)


def plan_of(
    plans: Mapping[str, Any],
    configuration: str = "3d_fullres",
    *,
    dataset: Mapping[str, Any] | None = None,
    source: str,
) -> dict[str, Any]:
    """What the plans say of one 3D configuration.

    Args:
        plans: as `read_plans` gives them.
        configuration: its name.
        dataset: content of nnU-Net's `dataset.json`, whose channels must be as many as the plans'.
        source: the file, for messages.

    Returns:
        `configuration`; `data_identifier`, the name of the folder of preprocessed arrays; `axes`, those of the file in
        the order of the array (`[2, 1, 0]`), or axis codes that a volume is turned to (`SAR`), or None where nnU-Net's
        reader is not known here; `spacing` (mm) and `patch_size` in that order; `batch_size`; `resampling` (orders of
        the splines); `channels`, each with its `name`, `scheme`, `use_mask`, `statistics` and `range`, the least and
        greatest normalised value where that is known; `architecture`.

    Raises:
        ValueError: no such configuration, a 2D one, a second stage of a cascade, an unknown network or normalisation,
            numbers that cannot be, or another number of channels than in `dataset`.
    """
    found = _inherited(plans, configuration, source)
    where = f"{source}, {configuration}"
    patch = found.get("patch_size")
    if not isinstance(patch, Sequence) or len(patch) != 3:
        raise ValueError(
            f"{where}: must be a 3D configuration; found a patch_size of {patch}. Choose --configuration 3d_fullres or "
            "3d_lowres."
        )
    if found.get("previous_stage"):
        raise ValueError(
            f"{where}: must see images alone; found the second stage of a cascade, which also sees the label map of "
            f"{found['previous_stage']}. Choose --configuration {found['previous_stage']} or 3d_fullres."
        )
    plan = {
        "configuration": str(configuration),
        "data_identifier": found.get("data_identifier"),
        "axes": _axes(plans, where),
        "spacing": _numbers(found, "spacing", where),
        "patch_size": [int(side) for side in _numbers(found, "patch_size", where)],
        "batch_size": int(found.get("batch_size", 2)),
        "resampling": _resampling(found, where),
        "channels": channels_of_plans(plans, found, dataset, where),
        "architecture": architecture_of(found, where),
    }
    check_divisible(plan["architecture"], plan["patch_size"], f"{where}: patch_size")
    return plan


def _inherited(plans: Mapping[str, Any], name: str, source: str) -> dict[str, Any]:
    """The configuration with what it inherits."""
    known = plans["configurations"]
    found: dict[str, Any] = {}
    seen: list[str] = []
    while name is not None:
        if name not in list(known) or name in seen or not isinstance(known[name], Mapping):
            raise ValueError(
                f"{source}: the configuration must be one of {', '.join(known)}; found {name!r}. Choose one of them by "
                "--configuration, or plan it: nnUNetv2_plan_and_preprocess."
            )
        seen.append(name)
        found = {**known[name], **found}
        name = known[name].get("inherits_from")
    return found


def _axes(plans: Mapping[str, Any], where: str) -> list[int] | str | None:
    order = plans.get("transpose_forward", [0, 1, 2])
    if sorted(order) != [0, 1, 2]:
        raise ValueError(f"{where}: transpose_forward must order three axes; found {order}. Plan the data set anew.")
    reader = plans.get("image_reader_writer", _STORED[0])
    if reader in _REORIENTED:
        return "".join("RAS"[_AXES[axis]] for axis in order)
    if reader not in _STORED:
        logger.warning(
            "%s: images are read by %s, which is not known here: give nnU-Net's preprocessed data", where, reader
        )
        return None
    return [_AXES[axis] for axis in order]


def _numbers(found: Mapping[str, Any], name: str, where: str) -> list[float]:
    values = found.get(name)
    numbers = isinstance(values, Sequence) and all(isinstance(one, (int, float)) for one in values)
    if not numbers or len(values) != 3 or not all(math.isfinite(one) and one > 0 for one in values):
        raise ValueError(f"{where}: {name} must be three numbers above 0; found {values}. Plan the data set anew.")
    return [float(one) for one in values]


def _resampling(found: Mapping[str, Any], where: str) -> dict[str, Any]:
    function = found.get("resampling_fn_data", _RESAMPLING)
    if function != _RESAMPLING:
        logger.warning(
            "%s: images are resampled by %s; here by %s, as nnU-Net's default. Give its preprocessed data for the same "
            "values",
            where,
            function,
            _RESAMPLING,
        )
    said = found.get("resampling_fn_data_kwargs", {})
    return {
        "order": said.get("order", 3),
        "order_z": said.get("order_z", 0),
        "separate_z": said.get("force_separate_z"),
    }
