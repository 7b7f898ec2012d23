"""Prediction intervals with coverage that holds without assumptions on the model.

Split conformal prediction, by groups of the predicted value (Mondrian): Vovk, Gammerman, Shafer,
Algorithmic Learning in a Random World (2005), sections 4.2 and 4.5. Within each group the ends are
the finite-sample quantiles of (label - prediction) on rows that no tree has seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle import Expression, e
from treehouse.project.errors import TreehouseError

Floats = NDArray[np.float64]


_FEWEST = 50
"""Fewest calibration rows of a group, whatever the coverage."""


@dataclass(frozen=True)
class Interval:
    """Offsets from the prediction, by predicted value.

    Attributes:
        knots: Bounds between the groups, increasing.
        below: Offset of the lower end for each group; one more than knots.
        above: Offset of the upper end for each group.
        middle_knots: Bounds of the finer groups of which the median is taken.
        middle: For each of those the median's share of what the prediction is above the floor; its
            offset from the prediction where there is no floor.
    """

    knots: tuple[float, ...]
    below: tuple[float, ...]
    above: tuple[float, ...]
    middle_knots: tuple[float, ...]
    middle: tuple[float, ...]

    def typical(self, value: Expression, floor: Expression | None) -> Expression:
        """What has the least absolute error in the group: the median of its labels."""
        middle = e.step(value, self.middle_knots, self.middle)
        return value + middle if floor is None else floor + middle * e.maximum(value - floor, 0.0)

    def ends(self, value: Expression, floor: Expression | None) -> tuple[Expression, Expression]:
        """Both ends as expressions; the lower one not under `floor`, what is known already."""
        low = value + e.step(value, self.knots, self.below)
        high = value + e.step(value, self.knots, self.above)
        return (low, high) if floor is None else (e.maximum(low, floor), e.maximum(high, floor))


def calibrate(
    actual: Floats, predicted: Floats, floor: Floats | None, coverage: float, bins: int
) -> Interval:
    """Offsets that hold `coverage` of the labels in each of at most `bins` equal groups.

    Args:
        actual: float64[rows] of the calibration rows.
        predicted: float64[rows].
        floor: float64[rows], the least that each label can be (what is known already), or None.
        coverage: In (0, 1), split evenly between the two sides.
        bins: Groups by predicted value; fewer where a group would have under 50 rows, or fewer
            than a tail of such a coverage takes: 199 for 0.99.

    Returns:
        Offsets; the upper one is infinite where all rows together are too few for the coverage.
    """
    residual = actual - predicted
    at_floor = np.zeros(len(actual), dtype=np.bool_) if floor is None else actual <= floor
    knots, groups = _groups(predicted, bins, max(_FEWEST, _fewest((1 - coverage) / 2)))
    ends = [_ends(residual[rows], at_floor[rows], 1 - coverage) for rows in groups]
    middle_knots, groups = _groups(predicted, len(actual), _FEWEST)
    return Interval(
        knots,
        tuple(low for low, _ in ends),
        tuple(high for _, high in ends),
        middle_knots,
        tuple(
            float(np.median(residual[rows]))
            if floor is None
            else _median_share((actual - floor)[rows], (predicted - floor)[rows])
            for rows in groups
        ),
    )


def refuse_infinite(interval: Interval, rows: int, coverage: float) -> None:
    """Refuse an interval without an upper end.

    Raises:
        TreehouseError: It says how many calibration rows the coverage takes.
    """
    if np.isinf(interval.above).any():
        raise TreehouseError(
            f"An interval that holds {coverage:.6g} of the labels takes more calibration rows.",
            value=f"{rows:,} rows",
            expected=f"at least {_fewest((1 - coverage) / 2):,}",
            fix="give the split calibration more rows, or lower `coverage` in the spec",
        )


def _median_share(actual: Floats, predicted: Floats) -> float:
    """The factor of least absolute error: the median of the ratios, weighted by the prediction."""
    above = predicted > 0
    if not above.any():
        return 0.0
    ratio, weight = actual[above] / predicted[above], predicted[above]
    order = np.argsort(ratio)
    reached = np.cumsum(weight[order])
    return max(float(ratio[order][np.searchsorted(reached, reached[-1] / 2)]), 0.0)


def _groups(
    predicted: Floats, bins: int, fewest: int
) -> tuple[tuple[float, ...], list[NDArray[np.bool_]]]:
    """Bounds of at most `bins` groups of about equal size, and bool[rows] for each.

    Each has `fewest` rows, where there are so many: predictions are often equal (users who did
    nothing), and equal ones share a group.
    """
    rows, bins = len(predicted), max(1, min(bins, len(predicted) // fewest))
    values, first = np.unique(np.sort(predicted), return_index=True)
    knots, start = [], 0
    while True:
        quantile = (start * bins // rows + 1) * rows / bins  # the next beyond the last knot
        place = int(np.searchsorted(first, max(start + fewest, quantile)))
        if place == len(first) or rows - first[place] < fewest:
            break
        start = int(first[place])
        knots.append(float(values[place]))
    group = np.searchsorted(knots, predicted, side="right")
    return tuple(knots), [group == g for g in range(len(knots) + 1)]


def _ends(residual: Floats, at_floor: NDArray[np.bool_], miss: float) -> tuple[float, float]:
    """Offsets of the lower and the upper end of one group.

    The k-th smallest and largest residual with k = floor(miss / 2 * (n + 1)); infinity for k = 0,
    where the rows are too few. Where so many labels lie at their floor that the lower end would be
    there, it is the floor itself (minus infinity, raised to the floor later), nothing can fall
    below it, and the upper end may be missed by all of `miss`.
    """
    ordered = np.concatenate([[-np.inf], np.sort(residual), [np.inf]])
    is_one_sided = float(at_floor.mean()) >= miss / 2
    k = _rank(miss if is_one_sided else miss / 2, len(residual))
    return -np.inf if is_one_sided else float(ordered[k]), float(ordered[-1 - k])


def _rank(tail: float, rows: int) -> int:
    """Of the order statistic beyond which a new label lies with a chance of at most `tail`."""
    return int(np.floor(tail * (rows + 1) + 1e-9))  # 0.05 * 60 is under 3


def _fewest(tail: float) -> int:
    """Rows from which on there is such an order statistic."""
    return int(np.ceil(1 / tail - 1 - 1e-9))
