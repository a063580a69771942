"""Round numbers for the axes of a chart."""

import math


def linear_ticks(low: float, high: float, whole: bool = False, count: int = 6) -> list[float]:
    """Return round numbers (steps of 1, 2 or 5 times a power of ten) that enclose [low, high].

    Args:
        low, high: the range, low < high.
        whole: whether the step is at least 1 (epochs).
        count: steps at most, about.
    """
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    if whole:
        step = max(step, 1.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, or (up to two decades) 1, 2 and 5 times them, that enclose [low, high], 0 < low < high."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    every = 1 if len(factors) > 1 else math.ceil((last - first) / 8)
    ticks = [factor * 10.0**power for power in range(first, last + every, every) for factor in factors]
    begin = max(index for index, tick in enumerate(ticks) if tick <= low * (1 + 1e-9))
    end = min(index for index, tick in enumerate(ticks) if tick >= high * (1 - 1e-9))
    return ticks[begin : end + 1]


def tick_text(value: float) -> str:
    """Write a tick shortly: 0.25, 40, 2e-05."""
    return f"{value:.10g}"
