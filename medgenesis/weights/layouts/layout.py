"""The contract of a published layout: each module of this package exports one, named LAYOUT."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from medgenesis.errors import CheckpointError
from medgenesis.weights.report import compare

StateDict = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Layout:
    """One published layout: how to recognise a state dict of it, and the pure function that converts its keys.

    Args:
        name: for people.
        recognise: whether the keys are of it.
        convert: the entries under our keys.
        dropped: the published keys that ``convert`` leaves out.
        whole: the state dict (values do not count) whose keys and shapes converted weights must have; None where an
            incomplete file is left to the comparison with a network.
        settings: what is known of the training, by the names of the bundles' settings.
    """

    name: str
    recognise: Callable[[StateDict], bool]
    convert: Callable[[StateDict], dict[str, torch.Tensor]]
    dropped: Callable[[StateDict], tuple[str, ...]] = lambda state_dict: ()
    whole: Callable[[StateDict], StateDict] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def read(self, state_dict: StateDict, source: str) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
        """The entries of a file under our keys, and its keys that were dropped.

        Raises:
            CheckpointError: the file is not whole.
        """
        weights, dropped = self.convert(state_dict), self.dropped(state_dict)
        if self.whole is not None:
            report = compare(weights, self.whole(weights), source=source, layout=self.name, dropped=dropped)
            if not report.complete:
                raise CheckpointError(
                    f"{source}: must be a whole published checkpoint; found an incomplete or altered checkpoint. "
                    f"{report} Give the file as published, or download it anew."
                )
        return weights, dropped
