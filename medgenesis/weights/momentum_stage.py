"""Full checkpoints of Adam and CAiD (``checkpoint.pth``, ``current_checkpoint.pth``): heads, key branch and queue.

From them a stage of ours goes on (``medgenesis.methods.initialise_from_stage``), and theirs goes on from one of ours.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch

from medgenesis.weights.layouts.smp_unet import smp_unet_keys, unet25d_to_smp

_BRANCH = re.compile(r"^(?:module\.)?(encoder_[qk])\.(?:(backbone\.)?(.+))$")
_QUEUE = re.compile(r"^(?:module\.)?(queue|queue_ptr)$")
_HEAD = re.compile(r"fc\.(?:(\d)\.)?(weight|bias)")
_NETWORK, _KEY = "network.", "discrimination.key_encoder."
_QUEUES = {"queue": "discrimination.queue.keys", "queue_ptr": "discrimination.queue.pointer"}


def is_momentum_stage(state_dict: Mapping[str, Any]) -> bool:
    """Whether this is the whole of such a training: query, key and queue."""
    keys = [key.removeprefix("module.") for key in state_dict]
    return "queue" in keys and all(any(key.startswith(part) for key in keys) for part in ("encoder_q.", "encoder_k."))


def momentum_stage_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published entries under the keys of our methods ``Adam`` and ``CAiD``.

    Args:
        state_dict: keys ``module.encoder_q.layer1.0.conv1.weight`` (Adam), ``module.encoder_q.backbone.encoder.…``
            (CAiD), ``module.encoder_q.fc.0.weight``, ``module.encoder_k.…``, ``module.queue``, ``module.queue_ptr``.

    Notes:
        The decoder of CAiD's key branch, which runs for nothing there, is left out. Our count of updates begins at 1:
        at 0 the first batch would copy the query branch over the key branch.
    """
    found: dict[str, torch.Tensor] = {"discrimination.updates": torch.tensor(1)}
    branches: dict[str, dict[str, torch.Tensor]] = {"encoder_q": {}, "encoder_k": {}}
    for key, value in state_dict.items():
        if queue := _QUEUE.match(key):
            found[_QUEUES[queue[1]]] = value.reshape(-1) if queue[1] == "queue_ptr" else value
        elif branch := _BRANCH.match(key):
            name, head = branch[1], _HEAD.fullmatch(branch[3])
            if head and not branch[2]:
                ours = "discrimination.head" if name == "encoder_q" else "discrimination.key_head"
                found[f"{ours}.{head[1] or 0}.{head[2]}"] = value
            else:
                branches[name][branch[3]] = value
    query, key_branch = branches["encoder_q"], branches["encoder_k"]
    if any(key.startswith("decoder.") for key in query):
        query = smp_unet_keys(query)
        key_branch = {k.removeprefix("encoder."): v for k, v in key_branch.items() if k.startswith("encoder.")}
    found |= {_NETWORK + key: value for key, value in query.items()}
    return found | {_KEY + key: value for key, value in key_branch.items()}


def published_stage(method: Mapping[str, torch.Tensor], arch: str = "resnet50") -> dict[str, Any]:
    """The content of a published full checkpoint, of the entries of our method ``Adam`` or ``CAiD``.

    Args:
        method: the entry "method" of ``last.pt``.
        arch: name of the backbone.

    Notes:
        The decoder of CAiD's key branch is a copy of the query's: theirs runs it for nothing. The state of the
        optimiser is left out: theirs starts anew with a stage.

    Raises:
        KeyError: it is of another method, or has no queue.
    """
    query = _part(method, _NETWORK)
    key_branch = _part(method, _KEY)
    unet = any(key.startswith("decoder.") for key in query)
    between = ""
    if unet:
        between, query = "backbone.", unet25d_to_smp(query)
        key_branch = query | {f"encoder.{key}": value for key, value in key_branch.items()}
    entries: dict[str, torch.Tensor] = {}
    for branch, weights, head in (
        ("encoder_q", query, _part(method, "discrimination.head.")),
        ("encoder_k", key_branch, _part(method, "discrimination.key_head.")),
    ):
        layers = {key.partition(".")[0] for key in head}
        entries |= {f"module.{branch}.{between}{key}": value for key, value in weights.items()}
        for key, value in head.items():
            layer, _, name = key.partition(".")
            entries[f"module.{branch}.fc.{f'{layer}.' if len(layers) > 1 else ''}{name}"] = value
    entries |= {f"module.{theirs}": method[ours] for theirs, ours in _QUEUES.items()}
    return {"epoch": 0, "arch": arch, "state_dict": entries}


def _part(method: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in method.items() if key.startswith(prefix)}
