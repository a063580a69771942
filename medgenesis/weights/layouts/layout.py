"""The contract of a published layout: each module of this package exports one, named LAYOUT."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from medgenesis.errors import CheckpointError
from medgenesis.weights.report import compare, first_keys

StateDict = Mapping[str, torch.Tensor]
Settings = Mapping[str, Any]

# what training on several GPUs (`DataParallel`) and `torch.compile` put before keys, each as often as it was wrapped
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")


def without_wrappers(key: str) -> str:
    """A key without the ``module.`` of several GPUs and the ``_orig_mod.`` of `torch.compile` before it."""
    return _WRAPPERS.sub("", key)


def wrapped_once(key: str) -> str:
    """A key with one ``module.`` at most before it, by which some layouts are known."""
    bare = without_wrappers(key)
    return f"module.{bare}" if "module." in key.removesuffix(bare) else bare


def renamed(state_dict: StateDict, name: Callable[[str], str], source: str = "") -> dict[str, torch.Tensor]:
    """The same entries under other keys.

    Args:
        state_dict: of a file.
        name: from a key to its new one.
        source: the file, for messages; "": whoever calls says it.

    Raises:
        CheckpointError: two keys become one, so that an entry would be lost; both are named.
    """
    before: dict[str, str] = {}
    for key in state_dict:
        first = before.setdefault(name(key), key)
        if first != key:
            raise CheckpointError(
                f"{source}{': ' if source else ''}keys: must be of one network; found {first!r} and {key!r}, which are "
                f"both {name(key)!r} here. Save the weights of one of them alone."
            )
    return {new: state_dict[key] for new, key in before.items()}


@dataclass(frozen=True)
class Layout:
    """One published layout: how to recognise a state dict of it, and the pure function that converts its keys.

    Args:
        name: for people.
        slug: for command lines.
        network: the network that takes the converted weights, for people.
        recognise: whether the keys are of it.
        convert: the entries under our keys.
        dropped: the published keys that ``convert`` leaves out.
        made: the keys that ``convert`` adds, of parts that the published network has no weights for.
        whole: the state dict (values do not count) whose keys and shapes converted weights must have; None where an
            incomplete file is left to the comparison with a network.
        shapes: the same, of a layout without ``whole``: for a look at the file alone.
        covers: what keys of a network begin with that the file promises; (): all. The others may start newly
            initialised.
        settings: what is known of the training, by the names of the bundles' settings, of converted weights.
        tells: what a file says of its network and its images besides, for people: of its entries.
        publish: the content of a published file, of weights under our keys; None: there is no way back.
    """

    name: str
    slug: str
    network: str
    recognise: Callable[[StateDict], bool]
    convert: Callable[[StateDict], dict[str, torch.Tensor]]
    dropped: Callable[[StateDict], tuple[str, ...]] = lambda state_dict: ()
    made: Callable[[StateDict], tuple[str, ...]] = lambda weights: ()
    whole: Callable[[StateDict], StateDict] | None = None
    shapes: Callable[[StateDict], StateDict] | None = None
    covers: tuple[str, ...] = ()
    settings: Callable[[StateDict], Settings] = field(default=lambda weights: {})
    tells: Callable[[StateDict], Settings] = field(default=lambda state_dict: {})
    publish: Callable[[StateDict], dict[str, Any]] | None = None

    def read(
        self, state_dict: StateDict, source: str, *, partial: bool = False
    ) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
        """The entries of a file under our keys, and its keys that were dropped.

        Args:
            state_dict: of the file.
            source: the file, for messages.
            partial: a file that is not whole passes: whoever loads it says what it lacks.

        Raises:
            CheckpointError: the file is not whole.
        """
        try:
            weights, dropped = self.convert(state_dict), self.dropped(state_dict)
        except CheckpointError as error:  # of a pure function, which does not know the file
            raise CheckpointError(f"{source}: {error}") from error
        if self.whole is not None and not partial:
            try:
                whole = self.whole(weights)
            except CheckpointError as error:
                raise CheckpointError(f"{source}: {error}") from error
            self._refuse_incomplete(whole, weights, dropped, source)
        return weights, dropped

    def check_whole(self, weights: StateDict, dropped: tuple[str, ...], source: str) -> None:
        """Raise CheckpointError if converted weights are not all of the network that they come closest to."""
        if self.shapes is not None:
            self._refuse_incomplete(self.shapes(weights), weights, dropped, source)

    def check_known(self, weights: StateDict, source: str) -> None:
        """Raise CheckpointError if converted weights have keys that are not of the network they come closest to."""
        wanted = {} if self.shapes is None else self.shapes(weights)
        unknown = [key for key in weights if key not in wanted] if wanted else []
        if unknown:
            raise CheckpointError(
                f"{source}: must have keys of {self.name} alone; found {len(unknown)} of another network "
                f"({first_keys(unknown)}). Leave them out, or take what fits into a network: load_pretrained(…, "
                "partial=True)."
            )

    def _refuse_incomplete(self, whole: StateDict, weights: StateDict, dropped: tuple[str, ...], source: str) -> None:
        report = compare(weights, whole, source=source, layout=self.name, dropped=dropped)
        if not report.complete:
            raise CheckpointError(
                f"{source}: must be a whole published checkpoint; found an incomplete or altered checkpoint. "
                f"{report} Give the file as published, or download it anew."
            )
