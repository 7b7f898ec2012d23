"""The head programs' twin in NumPy, operation for operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle.expressions import Expression, Op, postfix

Floats = NDArray[np.float64]


def _sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))


def _select(condition: Floats, then: Floats, otherwise: Floats) -> Floats:
    return np.where((condition != 0) & ~np.isnan(condition), then, otherwise)


_FUNCTIONS: dict[Op, Callable[..., Any]] = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.DIV: np.divide,
    Op.MIN: np.minimum,
    Op.MAX: np.maximum,
    Op.LESS: np.less,
    Op.LESS_EQUAL: np.less_equal,
    Op.EQUAL: np.equal,
    Op.EXP: np.exp,
    Op.EXPM1: np.expm1,
    Op.LOG1P: np.log1p,
    Op.SQRT: np.sqrt,
    Op.SIGMOID: _sigmoid,
    Op.IS_NAN: np.isnan,
    Op.NEGATE: np.negative,
    Op.SELECT: _select,
}


def _step(x: Floats, knots: Floats, values: Floats) -> Floats:
    # NaN is at least no knot
    rank = np.where(np.isnan(x), 0, np.searchsorted(knots, x, side="right"))
    return values[rank]


def _linear(x: Floats, knots: Floats, values: Floats) -> Floats:
    if len(knots) < 2:
        return np.where(np.isnan(x), np.nan, values[0])
    below = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    slope = (values[below + 1] - values[below]) / (knots[below + 1] - knots[below])
    between = values[below] + (x - knots[below]) * slope
    inside = np.where(x <= knots[0], values[0], np.where(x >= knots[-1], values[-1], between))
    return np.where(np.isnan(x), np.nan, inside)


def apply(
    expression: Expression,
    outputs: Sequence[Floats] | Mapping[int, Floats],
    inputs: Mapping[str, Floats],
    margins: Sequence[Floats] | Mapping[int, Floats],
) -> Floats:
    """See :func:`treehouse.bundle.expressions.evaluate`."""
    stack: list[Floats] = []
    for part in postfix(expression):
        first = len(stack) - len(part.args)
        stack[first:] = [_value(part, stack[first:], outputs, inputs, margins)]
    return stack[0]


def _value(
    part: Expression,
    args: list[Floats],
    outputs: Sequence[Floats] | Mapping[int, Floats],
    inputs: Mapping[str, Floats],
    margins: Sequence[Floats] | Mapping[int, Floats],
) -> Floats:
    """What one operation makes of its arguments' values."""
    op = part.op
    if op is Op.CONST:
        return np.asarray(part.number)
    if op is Op.INPUT:
        return np.asarray(inputs[part.name], np.float64)
    if op in (Op.OUTPUT, Op.MARGIN):
        forest, output = part.where
        chosen = outputs if op is Op.OUTPUT else margins
        return np.asarray(chosen[forest][:, output], np.float64)
    with np.errstate(all="ignore"):
        if op in (Op.STEP, Op.LINEAR):
            knots, values = (np.asarray(side, np.float64) for side in part.table)
            table = _step if op is Op.STEP else _linear
            return np.asarray(table(args[0], knots, values), np.float64)
        return np.asarray(_FUNCTIONS[op](*args), np.float64)
