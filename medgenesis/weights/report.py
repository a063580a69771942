"""What a file's weights and a network have in common."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch

from medgenesis.errors import first_few


@dataclass(frozen=True)
class WeightsReport:
    """How the entries of a checkpoint meet those of a network; ``str()`` of it is made for people.

    Args:
        source: the file.
        layout: whose keys they were.
        entries: how many entries the file gave.
        matched: keys that both have, in the same shape.
        missing: keys of the network that the file lacks.
        unexpected: keys of the file that the network lacks.
        mismatched: keys that both have in different shapes, as (key, shape in the file, shape in the network).
        fresh: keys of the network that were left newly initialised by intention (its head, or a part that the file
            has nothing of).
        dropped: keys of the file that were left out by intention (of a part that the network has not).
        share: of the network's weights, those in `matched`; counted in numbers, not in keys.
        made: keys that the file lacks and its layout gives (see ``Layout.made``).
        again: of `matched`, further names that the network has for tensors which the file names once; not counted.
    """

    source: str
    layout: str
    entries: int
    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    fresh: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    share: float = 0.0
    made: tuple[str, ...] = ()
    again: tuple[str, ...] = ()

    @property
    def compared(self) -> bool:
        """Whether a network was given to compare with."""
        return bool(self.matched or self.missing or self.unexpected or self.mismatched)

    @property
    def complete(self) -> bool:
        """Whether file and network have the same keys and shapes (but for what was left out by intention)."""
        return self.compared and not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        head = f"{self.source} ({self.layout}, {self.entries} entries)"
        dropped = [_counted("dropped", self.dropped)] if self.dropped else []
        dropped += [_counted("made", self.made)] if self.made else []
        if not self.compared:
            return f"{head}: " + "; ".join(["not compared with a network", *dropped]) + "."
        shapes = (f"{key} {found} instead of {wanted}" for key, found, wanted in self.mismatched)
        parts = [
            f"{len(self.matched) - len(self.again)} matched",
            _counted("missing in the file", self.missing),
            _counted("unknown to the network", self.unexpected),
            _counted("of another shape", shapes),
        ]
        if self.fresh:
            parts.append(_counted("left newly initialised", self.fresh))
        share = f"{percent(self.share)} of the network's weights are of the file"
        return f"{head}: " + "; ".join([*parts, *dropped, share]) + "."


def percent(share: float) -> str:
    """100 % only where nothing is missing."""
    return "100 %" if share == 1 else f"{min(share, 0.9999):.2%}".replace("%", " %")


def _counted(what: str, keys: Iterable[str]) -> str:
    keys = tuple(keys)
    return f"{len(keys)} {what}" + (f" ({first_keys(keys)})" if keys else "")


def first_keys(keys: Iterable[str], count: int = 5) -> str:
    """The first few keys, and how many more there are."""
    return first_few(tuple(keys), count)


def compare(
    weights: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    *,
    source: str,
    layout: str,
    fresh: tuple[str, ...] = (),
    dropped: tuple[str, ...] = (),
    made: tuple[str, ...] = (),
    again: Collection[str] = (),
    aliases: Collection[str] = (),
    entries: int | None = None,
) -> WeightsReport:
    """Compare keys and shapes of a file's ``weights`` with the state dict ``wanted``, but for the keys ``fresh``.

    The entries ``dropped`` of the file are not among ``weights`` any more; they count as entries of the file, and those
    ``made`` do not, unless the number of ``entries`` is given. Those of ``again`` name tensors that the file has under
    another name: they are matched, and not counted. Of the network's names ``aliases`` are all but the first of each
    tensor: they are not missing where the first is, and have no share.
    """
    expected = {key: value for key, value in wanted.items() if key not in fresh}
    common = [key for key in expected if key in weights]
    same = [key for key in common if weights[key].shape == expected[key].shape]
    once = {key: value.numel() for key, value in wanted.items() if key not in aliases}
    return WeightsReport(
        source=source,
        layout=layout,
        entries=len(weights) + len(dropped) - len(made) if entries is None else entries,
        matched=tuple(same),
        missing=tuple(key for key in expected if key not in weights and key not in aliases),
        unexpected=tuple(key for key in weights if key not in wanted),
        mismatched=tuple(
            (key, tuple(weights[key].shape), tuple(expected[key].shape))
            for key in common
            if weights[key].shape != expected[key].shape
        ),
        fresh=fresh,
        dropped=dropped,
        share=sum(once.get(key, 0) for key in same) / max(sum(once.values()), 1),
        made=made,
        again=tuple(key for key in same if key in again),
    )
