"""A trainer's rounding of its inputs, folded into float64 thresholds.

Rounding ``r`` is monotone, so ``r(x) <= t`` holds for exactly the ``x`` up to some largest
float64. That number takes the threshold's place, and the scorer never rounds an input.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: LightGBM reads any input of at most this size as 0 (`kZeroThreshold`, a float32 constant).
LIGHTGBM_ZERO = float(np.float32(1e-35))


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def float32_at_most(threshold: NDArray[np.floating]) -> Floats:
    """The largest float64 ``x`` with ``float32(x) <= threshold``, under round-half-to-even."""
    wide = np.asarray(threshold, np.float64)
    low = wide.astype(np.float32)
    # the largest float32 that is not above the threshold
    low = np.where(low.astype(np.float64) > wide, np.nextafter(low, np.float32(-np.inf)), low)
    low = np.where(low == 0, np.float32(0.0), low)
    high = np.nextafter(low, np.float32(np.inf)).astype(np.float64)
    # beyond the largest float32 the next value would be 2^128: rounding goes half way to it
    high = np.where(np.isinf(high) & ~np.isinf(low), 2.0**128, high)
    below = np.where(np.isneginf(low), -(2.0**128), low.astype(np.float64))
    middle = below / 2 + high / 2
    even = (low.view(np.uint32) & 1) == 0
    largest = np.where(even, middle, np.nextafter(middle, -np.inf))
    return np.where(np.isposinf(low), np.inf, largest)


def float32_below(threshold: NDArray[np.floating]) -> Floats:
    """The largest float64 ``x`` with ``float32(x) < float32(threshold)``; NaN where none is."""
    single = np.asarray(threshold, np.float32)
    single = np.where(single == 0, np.float32(0.0), single)
    with np.errstate(over="ignore", under="ignore"):
        before = np.nextafter(single, np.float32(-np.inf))
    return np.where(np.isneginf(single), np.nan, float32_at_most(before))


def lightgbm_zero(threshold: Floats) -> Floats:
    """The largest float64 ``x`` with ``snap(x) <= threshold``; snap reads tiny values as 0."""
    inside_low = (threshold < 0) & (threshold >= -LIGHTGBM_ZERO)
    inside_high = (threshold >= 0) & (threshold < LIGHTGBM_ZERO)
    folded = np.where(inside_low, np.nextafter(-LIGHTGBM_ZERO, -np.inf), threshold)
    return np.where(inside_high, LIGHTGBM_ZERO, folded)
