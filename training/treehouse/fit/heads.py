"""What a chosen candidate answers: each task's heads, as formulas, and how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle import Expression, e
from treehouse.bundle.networks import output_names
from treehouse.fit.calibration import calibrated_probability, calibrated_shares
from treehouse.fit.candidate import Candidate
from treehouse.fit.classification import raw_shares, relative_sizes, softmax
from treehouse.fit.dataset import Dataset
from treehouse.fit.interval import calibrate, refuse_infinite
from treehouse.spec import Spec

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Heads = dict[str, Expression]
_ROUNDING = 1e-9
"""Relative difference of two sums of the same amounts."""
_TIE = 1 - 1e-9
"""Costs nearer to each other than this are equal, and the first class is decided for: a last bit
of somebody's exp() decides nothing."""


def make_heads(spec: Spec, data: Dataset, chosen: Candidate) -> tuple[Heads, dict[str, Any]]:
    """Every head that the task has, and notes for the metrics."""
    if spec.task == "probability":
        return _probability_heads(data, chosen)
    if spec.task == "classes":
        return _class_heads(spec, data, chosen)
    if spec.task == "sequence":
        answered = {name: e.feature(name) for name in output_names(chosen.networks)}
        return {"value": e.feature("next_1"), **answered}, {}
    return _value_heads(spec, data, chosen)


def _value_heads(spec: Spec, data: Dataset, chosen: Candidate) -> tuple[Heads, dict[str, Any]]:
    rows = data.rows("calibration")
    floor, least = _floor(spec, data, rows)
    interval = calibrate(
        data.label[rows],
        chosen.predict(data, rows)[:, 0],
        None if least is None else least[rows],
        spec.coverage,
        spec.interval_bins,
    )
    if not spec.label and {"low", "high"} & set(data.contract.heads):
        refuse_infinite(interval, int(rows.sum()), spec.coverage)
    (value,) = chosen.parts
    low, high = interval.ends(value, floor)
    return {"value": value, "low": low, "high": high, "typical": interval.typical(value, floor)}, {}


def _floor(spec: Spec, data: Dataset, rows: Bools) -> tuple[Expression | None, Floats | None]:
    """The least that a label can be, as an expression and as float64[rows].

    What is known already is none where labels fall below it: some of it was paid back.
    """
    if spec.known:
        known = data.column(spec.known)
        is_least = (data.label - known)[rows] >= -_ROUNDING * np.abs(known[rows])
        return (e.feature(spec.known), known) if is_least.all() else (None, None)
    if spec.label_floor is not None:
        return e.const(spec.label_floor), np.full(len(data.label), spec.label_floor)
    return None, None


def _probability_heads(data: Dataset, chosen: Candidate) -> tuple[Heads, dict[str, Any]]:
    value, losses = calibrated_probability(chosen, data)
    heads = {"value": value, "score": 100.0 * value, "raw": raw_shares(chosen)[0]}
    return heads, {"calibration": {"method": next(iter(losses)), "log_loss": losses}}


def _class_heads(spec: Spec, data: Dataset, chosen: Candidate) -> tuple[Heads, dict[str, Any]]:
    logs, sharpness = calibrated_shares(chosen, data)
    decision = cheapest(relative_sizes(logs), spec.costs)
    shares = dict(zip(spec.classes, softmax(logs), strict=True))
    return {"value": decision, **shares}, {
        "calibration": {"method": "temperature", "temperature": 1 / sharpness}
    }


def cheapest(sizes: Sequence[Expression], costs: Sequence[Sequence[float]]) -> Expression:
    """The number of the class whose expected cost is least, the first of equal ones.

    Args:
        sizes: Of the classes' probabilities, up to a factor.
        costs: cost[class that is][class decided for].
    """
    expected = [
        reduce(lambda a, b: a + b, [row[d] * s for row, s in zip(costs, sizes, strict=True)])
        for d in range(len(sizes))
    ]
    best, decision = expected[0], e.const(0.0)
    for number, cost in enumerate(expected[1:], start=1):
        decision = e.select(cost < best * _TIE, number, decision)
        best = e.minimum(best, cost)
    return decision
