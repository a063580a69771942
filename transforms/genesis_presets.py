"""Which parts of the composite are applied, how often: the presets of Models Genesis and of Semantic Genesis."""

from dataclasses import dataclass, fields

import numpy as np

from medgenesis.transforms.checks import check_probability
from medgenesis.transforms.params import Generator

PARTS = ("elastic", "shuffle", "nonlinear", "inpaint", "outpaint")  # in the order in which they are applied
_MAX_FLIPS = 3


@dataclass(frozen=True)
class ModelsRates:
    """Models Genesis: each part by a probability of its own.

    Attributes:
        flip: probability of one more flip, at most three; the axis is drawn anew, so repeats cancel.
        shuffle: probability of local shuffling.
        nonlinear: probability of the non-linear intensity map.
        paint: probability of painting.
        inpaint: probability that painting is in-painting; else it is out-painting.
    """

    flip: float = 0.4
    shuffle: float = 0.5
    nonlinear: float = 0.9
    paint: float = 0.9
    inpaint: float = 0.2

    def __post_init__(self) -> None:
        _check_probabilities(self)

    def draw(self, rng: Generator, batch: int, axes: int) -> tuple[np.ndarray, np.ndarray]:
        """Which spatial axes are reversed, bool (B, n), and which of PARTS are applied, bool (B, 5)."""
        flips, applied = np.zeros((batch, axes), bool), np.zeros((batch, len(PARTS)), bool)
        uniforms = rng.random((batch, 2 * _MAX_FLIPS + len(PARTS)))
        for cube, drawn in enumerate(uniforms.tolist()):  # for one cube a fifth of the time of array operations
            for more, axis in zip(drawn[:_MAX_FLIPS], drawn[_MAX_FLIPS:], strict=False):
                if more >= self.flip:
                    break
                flips[cube, int(axis * axes)] ^= True
            _, shuffle, nonlinear, paint, inside = drawn[2 * _MAX_FLIPS :]
            painted, inside = paint < self.paint, inside < self.inpaint
            applied[cube, 1:] = (
                shuffle < self.shuffle,
                nonlinear < self.nonlinear,
                painted and inside,
                painted and not inside,
            )
        return flips, applied


@dataclass(frozen=True)
class SemanticRates:
    """Semantic Genesis: no flip; an elastic deformation, then one of the four others.

    Attributes:
        elastic: probability of the deformation.
        shuffle: probability that the one is local shuffling, likewise the following; together at most 1.
        nonlinear: the non-linear intensity map.
        inpaint: in-painting.
        outpaint: out-painting.
    """

    elastic: float = 1.0
    shuffle: float = 0.25
    nonlinear: float = 0.25
    inpaint: float = 0.25
    outpaint: float = 0.25

    def __post_init__(self) -> None:
        _check_probabilities(self)
        if (total := sum(self._ones)) > 1 + 1e-9:
            raise ValueError(
                "rates: shuffle, nonlinear, inpaint and outpaint must sum to at most 1, because the preset 'semantic' "
                f"applies one of them; found a sum of {total:g}. Lower them."
            )

    @property
    def _ones(self) -> tuple[float, ...]:
        return self.shuffle, self.nonlinear, self.inpaint, self.outpaint

    def draw(self, rng: Generator, batch: int, axes: int) -> tuple[np.ndarray, np.ndarray]:
        """As `ModelsRates.draw`."""
        elastic = rng.random((batch, 1)) < self.elastic
        ends = np.cumsum((0.0, *self._ones))
        one = rng.random((batch, 1))
        chosen = (one >= ends[:-1]) & (one < ends[1:])
        return np.zeros((batch, axes), bool), np.concatenate([elastic, chosen], axis=1)


@dataclass(frozen=True)
class Preset:
    """A published composite: its rates, and what its parts are given.

    Attributes:
        rates: class of the rates.
        windows: of the local shuffle.
        blocks: greatest number of blocks of a painting.
        p_continue: probability of one more block, see `RandInPaint` and `RandOutPaint`.
    """

    rates: type[ModelsRates] | type[SemanticRates]
    windows: int
    blocks: int
    p_continue: float


PRESETS = {
    "models": Preset(ModelsRates, windows=10_000, blocks=5, p_continue=0.95),
    "semantic": Preset(SemanticRates, windows=5, blocks=1, p_continue=1.0),
}


def _check_probabilities(rates: ModelsRates | SemanticRates) -> None:
    for field in fields(rates):
        check_probability(f"rates[{field.name!r}]", getattr(rates, field.name))


def preset_rates(preset: str, rates: dict[str, float]) -> ModelsRates | SemanticRates:
    """The rates of a preset, some of them changed."""
    if preset not in PRESETS:
        raise ValueError(f"preset: must be one of {sorted(PRESETS)}; found {preset!r}. Choose one of them.")
    make = PRESETS[preset].rates
    known = [field.name for field in fields(make)]
    if unknown := sorted(set(rates) - set(known)):
        raise ValueError(f"rates: must be among {known} for the preset {preset!r}; found {unknown}. Leave them out.")
    return make(**rates)
