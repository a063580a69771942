"""Interval and p of a figure whose units are few: the standard error of a bootstrap, with Student's t."""

import numpy as np
from scipy import stats

LEVEL = 0.05
_ROUNDING = 1e-12  # of draws that do not spread, as a share of the value where that is above 1


def student(value: float, drawn: np.ndarray, units: int) -> tuple[float, float, float]:
    """The 95 % interval of a figure and the two-sided p of its being 0.

    The standard error is that of the draws, times sqrt(n / (n - 1)), and the t of n units has n - 1 degrees of freedom:
    percentiles of a few units are too narrow. Where all units are alike, nothing spreads: p is then that of the sign
    test, 2 / 2^n (1 for a figure of 0), and there is no interval.

    Args:
        value: of all units.
        drawn: of each draw of the units with replacement, (draws,).
        units: how many there are, n: patients, or whatever is drawn.

    Returns:
        Lower end, upper end, p; all NaN for fewer than two units or without a draw; the ends where no draw
        differs.
    """
    if units < 2 or not len(drawn):
        return (float("nan"),) * 3
    rounding = _ROUNDING * max(1.0, abs(value))
    if np.ptp(drawn) < rounding:
        return float("nan"), float("nan"), 1.0 if abs(value) < rounding else 2.0 ** (1 - units)
    error = float(drawn.std() * np.sqrt(units / (units - 1)))
    half = float(stats.t.ppf(1 - LEVEL / 2, units - 1)) * error
    return value - half, value + half, 2 * float(stats.t.sf(abs(value) / error, units - 1))
