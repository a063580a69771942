"""Interval and p of a figure whose units are few: the standard error of a bootstrap, with Student's t."""

import numpy as np
from scipy import stats

LEVEL = 0.05


def student(value: float, drawn: np.ndarray, units: int) -> tuple[float, float, float]:
    """The 95 % interval of a figure and the two-sided p of its being 0.

    The standard error is that of the draws, times sqrt(n / (n - 1)), and the t of n units has n - 1 degrees of freedom:
    percentiles of a few units are too narrow.

    Args:
        value: of all units.
        drawn: of each draw of the units with replacement, (draws,).
        units: how many there are, n: patients, or whatever is drawn.

    Returns:
        Lower end, upper end, p; all NaN for fewer than two units, or where there is no draw.
    """
    if units < 2 or not len(drawn):
        return (float("nan"),) * 3
    error = float(drawn.std() * np.sqrt(units / (units - 1)))
    half = float(stats.t.ppf(1 - LEVEL / 2, units - 1)) * error
    p = 2 * float(stats.t.sf(abs(value) / error, units - 1)) if error > 0 else float(value == 0)
    return value - half, value + half, p
