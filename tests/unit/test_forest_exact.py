"""Folding a trainer's input rounding into thresholds: no float64 may fall on the other side."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.rows import EDGES
from treehouse.forest.exact import LIGHTGBM_ZERO, float32_at_most, float32_below, lightgbm_zero

Floats = NDArray[np.float64]
any_float = st.floats(allow_nan=False)
any_single = st.floats(width=32, allow_nan=False)


def neighbours(folded: float, threshold: float) -> Floats:
    """The values around both, where a mistake would show."""
    centres = np.concatenate([[folded, threshold], EDGES[~np.isnan(EDGES)]])
    with np.errstate(over="ignore", under="ignore"):
        single = centres.astype(np.float32)
        beside = [np.nextafter(single, np.float32(s)).astype(float) for s in (-np.inf, np.inf)]
        near = [np.nextafter(centres, s) for s in (-np.inf, np.inf)]
    return np.concatenate([centres, *near, *beside])


def rounded(x: Floats) -> NDArray[np.float32]:
    with np.errstate(over="ignore", under="ignore"):
        return x.astype(np.float32)


@settings(max_examples=500, deadline=None)
@given(any_float)
@example(3.4028234663852886e38)
@example(-3.4028234663852886e38)
@example(float("inf"))
@example(float("-inf"))
@example(0.0)
@example(-0.0)
@example(7e-46)
def test_rounding_to_float32_folds_into_at_most(threshold: float) -> None:
    folded = float32_at_most(np.array([threshold]))[0]
    x = neighbours(folded, threshold)
    np.testing.assert_array_equal(x <= folded, rounded(x).astype(np.float64) <= threshold)


@settings(max_examples=500, deadline=None)
@given(any_single)
@example(float("inf"))
@example(float("-inf"))
@example(-0.0)
@example(1.401298464324817e-45)
def test_rounding_to_float32_folds_into_below(threshold: float) -> None:
    folded = float32_below(np.array([threshold]))[0]
    x = neighbours(folded, threshold)
    x = x[~np.isnan(x)]
    np.testing.assert_array_equal(x <= folded, rounded(x) < np.float32(threshold))


@settings(max_examples=500, deadline=None)
@given(st.one_of(any_float, st.floats(-2e-35, 2e-35)))
@example(LIGHTGBM_ZERO)
@example(-LIGHTGBM_ZERO)
@example(0.0)
@example(-0.0)
def test_lightgbm_reads_tiny_inputs_as_zero(threshold: float) -> None:
    folded = lightgbm_zero(np.array([threshold]))[0]
    x = neighbours(folded, threshold)
    snapped = np.where(np.abs(x) <= LIGHTGBM_ZERO, 0.0, x)
    np.testing.assert_array_equal(x <= folded, snapped <= threshold)
