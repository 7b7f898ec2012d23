"""Rows that look for trouble: on and beside thresholds, missing, infinite, tiny, huge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treehouse.forest import Forest

Floats = NDArray[np.float64]

#: Signed zeros, denormals, LightGBM's own zero threshold, float32's edges, infinities, NaN.
EDGES = np.array(
    [
        *(0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1e-45, -1e-45, 1e-39),
        *(1e-35, -1e-35, 1.0000000180025095e-35, -1.0000000180025095e-35, 1.1754943508222875e-38),
        *(3.4028234663852886e38, -3.4028234663852886e38, 1e300, -1e300, 1.0, -1.0, 0.5),
        *(np.inf, -np.inf, np.nan),
    ]
)


def thresholds(forest: Forest) -> list[Floats]:
    """For each feature the thresholds that the forest compares it with."""
    numeric = forest.flags & ~np.uint8(2) == 0
    return [
        np.unique(forest.values[numeric & (forest.feature == f) & ~np.isnan(forest.values)])
        for f in range(len(forest.features))
    ]


@np.errstate(over="ignore", under="ignore")
def hard_rows(
    forest: Forest, rng: np.random.Generator, count: int, *, finite: bool = False
) -> Floats:
    """float64[count, features]: a third ordinary, a third on or beside thresholds, a third edges.

    Beside means one ulp in float64 and one in float32. `finite` leaves out infinities and what
    float32 can't hold, for trainers that refuse them.
    """
    columns = []
    for known in thresholds(forest):
        spread = rng.normal(size=count) * (np.abs(known).max(initial=1.0) + 1)
        pool = np.concatenate([EDGES, known]) if len(known) else EDGES
        near = rng.choice(pool, count)
        single = near.astype(np.float32)
        toward = rng.choice(np.array([-np.inf, np.inf]), count)
        choices = [
            spread,
            near,
            np.nextafter(near, toward),
            single.astype(np.float64),
            np.nextafter(single, toward.astype(np.float32)).astype(np.float64),
        ]
        column = np.choose(rng.integers(0, len(choices), count), choices)
        column[rng.random(count) < 0.05] = np.nan
        columns.append(column)
    rows = np.stack(columns, axis=1) if columns else np.zeros((count, 0))
    if finite:
        rows[np.isinf(rows.astype(np.float32))] = 1.0
    return rows
