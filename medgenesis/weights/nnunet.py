"""Weights from nnU-Net and for it: a fold as a start here, pre-trained weights as a start of a fold."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medgenesis.data.nnunet.plans import check_plans, plan_of
from medgenesis.errors import CheckpointError
from medgenesis.networks.planned import planned_network
from medgenesis.storage.checkpoint import read_checkpoint, save_checkpoint
from medgenesis.weights.digests import file_digests
from medgenesis.weights.export import refuse_existing
from medgenesis.weights.kept import plain
from medgenesis.weights.layouts.models_genesis import strip_module
from medgenesis.weights.load import check_finite, tensors_of
from medgenesis.weights.origin import published_origin
from medgenesis.weights.report import WeightsReport, compare
from medgenesis.weights.settings import settings_of, with_settings
from medgenesis.weights.sidecar import save_with_sidecar, sidecar_of, source_of

logger = logging.getLogger(__name__)

HEADS = ".seg_layers."  # in the keys of what nnU-Net's -pretrained_weights leaves out
WEIGHTS = "network_weights"  # of nnU-Net's checkpoints
_BEST_FIRST = ("checkpoint_final.pth", "checkpoint_best.pth", "checkpoint_latest.pth")


@dataclass(frozen=True)
class Fold:
    """What a checkpoint of nnU-Net says.

    Args:
        path: the file.
        plan: of its configuration, see `plan_of`.
        state_dict: all weights, heads included.
        report: how they meet the network of the plan.
        trainer: name of nnU-Net's.
        dataset: name of nnU-Net's.
    """

    path: Path
    plan: dict[str, Any]
    state_dict: dict[str, torch.Tensor]
    report: WeightsReport
    trainer: str = "not known"
    dataset: str = "not known"


def read_fold(path: str | Path) -> Fold:
    """Read a trained fold of nnU-Net v2, as tensors and plain values alone (`read_checkpoint`).

    Args:
        path: a folder `fold_0`, of whose checkpoints the final one goes first, or one checkpoint.

    Raises:
        CheckpointError: no checkpoint, one of nnU-Net v1 or something else, one with objects in it that could run code,
            or weights that do not fit the network of its own plans.
        ValueError: plans that are not known here.
    """
    path = Path(path)
    if path.is_dir():
        path = _chosen(path)
    content = read_checkpoint(path)
    if not isinstance(content, Mapping) or WEIGHTS not in content or "init_args" not in content:
        found = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError(
            f"{path}: must be a checkpoint of nnU-Net v2, with {WEIGHTS} and init_args; found {found}. Give a fold's "
            "checkpoint_final.pth."
        )
    said = content["init_args"]
    if not isinstance(said, Mapping) or not {"plans", "configuration"} <= said.keys():
        raise CheckpointError(
            f"{path}: init_args must hold plans and configuration, as nnU-Net v2 writes them; found others. Give a "
            "fold's checkpoint_final.pth."
        )
    plans = check_plans(said["plans"], str(path))
    plan = plan_of(plans, said["configuration"], dataset=said.get("dataset_json"), source=str(path))
    weights = strip_module(content[WEIGHTS], str(path))
    check_finite(weights, str(path))
    heads = [value.shape[0] for key, value in weights.items() if HEADS in key]
    network = planned_network(plan["architecture"], len(plan["channels"]), heads[-1] if heads else 1)
    report = compare(weights, network.state_dict(), source=str(path), layout="nnU-Net v2")
    if not report.complete:
        raise CheckpointError(f"{path}: must have the weights of its own plans' network; found others. {report}")
    trainer, data = content.get("trainer_name", "not known"), plans.get("dataset_name", "not known")
    return Fold(path, plan, weights, report, str(trainer), str(data))


def save_start(fold: Fold, path: str | Path) -> None:
    """Write a fold's weights as those that a planned bundle begins with, its plan among them; origin beside (.json)."""
    plan = fold.plan
    settings = {
        "plan": plan,
        "in_channels": len(plan["channels"]),
        "cube_size": plan["patch_size"],
        "crop_criterion": "any",
    }
    source = source_of(fold.path, file_digests(fold.path))
    schemes = ", ".join(f"{channel['name']}: {channel['scheme']}" for channel in plan["channels"])
    origin = {
        **published_origin((), source),
        "title": f"a fold of nnU-Net v2, {plan['configuration']}, trained by {fold.trainer}",
        "terms": "not known: those of whoever trained it, and of the data",
        "expects": f"spacing {list(plan['spacing'])} mm; by nnU-Net's plans {schemes}",
        "learnt_from": fold.dataset,
    }
    sidecar = sidecar_of(source, "nnunet-v2", origin, fold.report, settings)
    save_with_sidecar(with_settings(fold.state_dict, settings, origin), sidecar, Path(path))


def export_for_nnunet(checkpoint: str | Path, out: str | Path, plan: Mapping[str, Any] | None = None) -> WeightsReport:
    """Write pre-trained weights as a file that `nnUNetv2_train … -pretrained_weights FILE` takes.

    It holds every key that nnU-Net asks for; heads, which it leaves newly initialised, are left out.

    Args:
        checkpoint: weights of a planned bundle (`pretrained.pt`, `best.pt`), with their plan among them.
        out: the file.
        plan: that of the training they are for; None: that of the weights.

    Returns:
        How the weights meet the network of the plan.

    Raises:
        CheckpointError: the file cannot be read, is not finite, holds no plan where none is given, or does not have
            every weight of the plan's network, in its shape, but for the heads.
    """
    refuse_existing(Path(out))
    content = read_checkpoint(checkpoint)
    own = settings_of(checkpoint).get("plan")
    plan = own if plan is None else plan
    if plan is None:
        raise CheckpointError(
            f"{checkpoint}: must hold the plan that it was trained with; found none among its settings. Export weights "
            "of a bundle made by `medgenesis nnunet plan2bundle`, or give --plans."
        )
    weights = strip_module(tensors_of(content, str(checkpoint)), str(checkpoint))
    check_finite(weights, str(checkpoint))
    network = planned_network(plan["architecture"], len(plan["channels"]), 1).state_dict()
    wanted = {key: value for key, value in network.items() if HEADS not in key}
    heads = tuple(key for key in weights if HEADS in key)
    kept = {key: value for key, value in weights.items() if HEADS not in key}
    report = compare(kept, wanted, source=str(checkpoint), layout="nnU-Net v2", dropped=heads)
    if not report.complete:
        raise CheckpointError(
            f"{checkpoint}: must have every weight of the plans' network but its heads, and nothing was written; found "
            f"others. {report} Pre-train a bundle that `medgenesis nnunet plan2bundle` makes of these plans."
        )
    if own is not None:
        _say_differences(own, plan)
    save_checkpoint({WEIGHTS: kept, "medgenesis": {"plan": plain(plan)}}, out)
    return report


def _chosen(folder: Path) -> Path:
    found = [folder / name for name in _BEST_FIRST if (folder / name).is_file()]
    if not found:
        raise CheckpointError(
            f"{folder}: must hold {' or '.join(_BEST_FIRST)}; found none. Give a fold's folder, …/fold_0, or a "
            "checkpoint."
        )
    if found[0].name != _BEST_FIRST[0]:
        logger.warning("%s: the fold is not finished; its %s is taken", folder, found[0].name)
    return found[0]


def _say_differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for name in ("spacing", "axes", "patch_size", "channels"):
        if own.get(name) != other.get(name):
            logger.warning("%s: %s in the weights' plan, %s in that of --plans", name, own.get(name), other.get(name))
