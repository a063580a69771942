"""From one stage to the next: what a method has learnt, into another that goes on from there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from medgenesis.errors import CheckpointError
from medgenesis.storage.checkpoint import read_checkpoint
from medgenesis.weights.catalog import published
from medgenesis.weights.load import check_finite
from medgenesis.weights.momentum_stage import is_momentum_stage, momentum_stage_keys
from medgenesis.weights.origin import kept_origin, published_origin, set_origin
from medgenesis.weights.seen import kept_seen, set_seen

_DISCRIMINATION, _QUEUE, _COUNT = "discrimination.", "discrimination.queue.", "discrimination.batches"


def initialise_from_stage(
    previous: str | os.PathLike | Mapping[str, Any] | None,
    method: nn.Module,
    *,
    carry_head: bool = True,
    carry_queue: bool = True,
    required: bool = True,
) -> nn.Module:
    """The same method (`Adam` or `CAiD`), going on from a previous stage; after an error it is as it was.

    Args:
        previous: the stage before: its full checkpoint (`last.pt`, a file or its content), or its method's state dict;
            or a published one, Adam's `checkpoint.pth` or CAiD's `current_checkpoint.pth`, with heads, key branch and
            queue; None: there was none.
        method: of the stage that begins, changed in place.
        carry_head: carry the heads and the key branch; else the head starts new, and the key branch as a copy of the
            query branch.
        carry_queue: carry the queue and its pointer; else it holds random keys.
        required: without a previous stage this is an error; else the method then stays as it is.

    Raises:
        ValueError: `carry_queue` without `carry_head`: the queue's keys are of the old head; no previous stage where
            one is required.
        CheckpointError: the file cannot be read, is of another network, discriminator, `dim` or `queue_size`, or holds
            numbers that are not finite.

    References:
        Hosseinzadeh Taher et al., Adam, DART at MICCAI 2023: coarse to fine. CAiD, MIDL 2022.

    Notes:
        Published Adam carries both, and published CAiD neither. The optimiser, the schedule and the count of epochs
        start anew in both. A stage on weights of `models/pretrained.pt` or a published file needs no hand-over:
        `medgenesis.weights.initialise` loads them into the network.
    """
    if carry_queue and not carry_head:
        raise ValueError("carry_queue: must be False where carry_head is; found True. The keys are of the old head.")
    if previous is None:
        if required:
            raise ValueError(
                "previous: must be the last.pt of the stage before; found none. Run the stages in their order, name "
                "the file, or say what else to start from: init, scratch or a checkpoint."
            )
        return method
    source = "the given stage" if isinstance(previous, Mapping) else str(previous)
    content = previous if isinstance(previous, Mapping) else read_checkpoint(previous)
    found, own = _entries(content), method.state_dict()
    dropped = (_COUNT,) if carry_head else (_DISCRIMINATION,)  # a stage counts its own batches
    dropped += () if carry_queue else (_QUEUE,)
    wanted = [name for name in own if not name.startswith(dropped)]
    wrong = [name for name in wanted if name not in found or found[name].shape != own[name].shape]
    if wrong:
        raise CheckpointError(
            f"{source}: must be the checkpoint of a stage with the same network, discriminator, dim and queue_size; "
            f"found {len(wrong)} of {len(wanted)} entries missing or of another shape, {', '.join(wrong[:3])} first. "
            "Use the settings of that stage; carry_queue=False, carry_head=False where these differ; or, for the "
            "encoder alone, medgenesis.weights.initialise."
        )
    carried = {name: found[name] for name in wanted}
    check_finite(carried, source)
    method.load_state_dict({**own, **carried})
    if isinstance(content.get("state_dict"), Mapping):  # published: Adam's or CAiD's, of the same terms
        among = [published(name) for name in ("adam", "caid-id", "caid")]
        origin = published_origin(among, {} if isinstance(previous, Mapping) else {"file": Path(previous).name})
    else:
        origin = kept_origin(content)
    if origin is not None:
        set_origin(method, origin)
    set_seen(method, kept_seen(content))
    return method


def _entries(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entries of a method, of a checkpoint of ours or of a published one."""
    published = content.get("state_dict")
    if isinstance(published, Mapping) and is_momentum_stage(published):
        return momentum_stage_keys(published)
    return content.get("method", content)
