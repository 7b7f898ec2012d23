"""Head programs: what a bundle answers, as expressions over forest outputs and inputs.

    from treehouse.bundle import e
    value = e.out(0) * e.expm1(e.out(1))
    heads = {"value": value, "low": e.clip(value - 3.2, 0, None)}

The scorer runs the same expression as a postfix program; :func:`evaluate` is its twin in NumPy
for calibration and tests. Arithmetic, comparisons, tables, min and max agree bit for bit;
exp, expm1, log1p and sigmoid within 2 ulp (two C libraries' accuracy).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Union

import numpy as np
from numpy.typing import NDArray

from treehouse.project.errors import TreehouseError

Floats = NDArray[np.float64]
Operand = Union["Expression", float, int]

_MOST_PARTS = 1 << 20


class Op(IntEnum):
    """Operations of the postfix machine; the numbers are part of the file format."""

    CONST = 1
    OUTPUT = 2
    MARGIN = 3
    INPUT = 4
    ADD = 10
    SUB = 11
    MUL = 12
    DIV = 13
    MIN = 14
    MAX = 15
    LESS = 16
    LESS_EQUAL = 17
    EQUAL = 18
    EXP = 30
    EXPM1 = 31
    LOG1P = 32
    SQRT = 33
    SIGMOID = 34
    IS_NAN = 35
    NEGATE = 36
    SELECT = 50
    STEP = 60
    LINEAR = 61


@dataclass(frozen=True)
class Expression:
    """A node of an expression; build them with the functions below and with operators."""

    op: Op
    args: tuple[Expression, ...] = ()
    #: CONST: the value.
    number: float = 0.0
    #: OUTPUT, MARGIN: (forest, output).
    where: tuple[int, int] = (0, 0)
    #: INPUT: the input's name.
    name: str = ""
    #: STEP, LINEAR: knots and values.
    table: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())

    def __add__(self, other: Operand) -> Expression:
        return Expression(Op.ADD, (self, _lift(other)))

    def __radd__(self, other: Operand) -> Expression:
        return Expression(Op.ADD, (_lift(other), self))

    def __sub__(self, other: Operand) -> Expression:
        return Expression(Op.SUB, (self, _lift(other)))

    def __rsub__(self, other: Operand) -> Expression:
        return Expression(Op.SUB, (_lift(other), self))

    def __mul__(self, other: Operand) -> Expression:
        return Expression(Op.MUL, (self, _lift(other)))

    def __rmul__(self, other: Operand) -> Expression:
        return Expression(Op.MUL, (_lift(other), self))

    def __truediv__(self, other: Operand) -> Expression:
        return Expression(Op.DIV, (self, _lift(other)))

    def __rtruediv__(self, other: Operand) -> Expression:
        return Expression(Op.DIV, (_lift(other), self))

    def __neg__(self) -> Expression:
        return Expression(Op.NEGATE, (self,))

    def __lt__(self, other: Operand) -> Expression:
        return Expression(Op.LESS, (self, _lift(other)))

    def __le__(self, other: Operand) -> Expression:
        return Expression(Op.LESS_EQUAL, (self, _lift(other)))

    def __gt__(self, other: Operand) -> Expression:
        return Expression(Op.LESS, (_lift(other), self))

    def __ge__(self, other: Operand) -> Expression:
        return Expression(Op.LESS_EQUAL, (_lift(other), self))


def _lift(value: Operand) -> Expression:
    return value if isinstance(value, Expression) else const(float(value))


def const(value: float) -> Expression:
    """The same number for every row."""
    return Expression(Op.CONST, number=float(value))


def out(forest: int = 0, output: int = 0) -> Expression:
    """A forest's output, after its own post-processor (a probability, a class's share)."""
    return Expression(Op.OUTPUT, where=(forest, output))


def margin(forest: int = 0, output: int = 0) -> Expression:
    """A forest's output before its post-processor (the raw score)."""
    return Expression(Op.MARGIN, where=(forest, output))


def feature(name: str) -> Expression:
    """An input: a number, or a category's code (NaN where missing or unseen)."""
    return Expression(Op.INPUT, name=name)


def exp(x: Operand) -> Expression:
    return Expression(Op.EXP, (_lift(x),))


def expm1(x: Operand) -> Expression:
    return Expression(Op.EXPM1, (_lift(x),))


def log1p(x: Operand) -> Expression:
    return Expression(Op.LOG1P, (_lift(x),))


def sqrt(x: Operand) -> Expression:
    return Expression(Op.SQRT, (_lift(x),))


def sigmoid(x: Operand) -> Expression:
    """1 / (1 + exp(-x))."""
    return Expression(Op.SIGMOID, (_lift(x),))


def isnan(x: Operand) -> Expression:
    """1 where x is NaN, else 0."""
    return Expression(Op.IS_NAN, (_lift(x),))


def minimum(x: Operand, y: Operand) -> Expression:
    """The smaller; NaN if either is."""
    return Expression(Op.MIN, (_lift(x), _lift(y)))


def maximum(x: Operand, y: Operand) -> Expression:
    """The larger; NaN if either is."""
    return Expression(Op.MAX, (_lift(x), _lift(y)))


def clip(x: Operand, low: float | None, high: float | None) -> Expression:
    """x within [low, high]; None leaves a side open; NaN stays NaN."""
    clipped = _lift(x)
    if low is not None:
        clipped = maximum(clipped, low)
    return clipped if high is None else minimum(clipped, high)


def equal(x: Operand, y: Operand) -> Expression:
    """1 where x equals y, else 0 (NaN equals nothing)."""
    return Expression(Op.EQUAL, (_lift(x), _lift(y)))


def select(condition: Operand, then: Operand, otherwise: Operand) -> Expression:
    """`then` where the condition is neither 0 nor NaN, else `otherwise`; both are computed."""
    return Expression(Op.SELECT, (_lift(condition), _lift(then), _lift(otherwise)))


def if_nan(x: Operand, otherwise: Operand) -> Expression:
    """x, or `otherwise` where x is NaN."""
    return select(isnan(x), otherwise, x)


def step(x: Operand, knots: Sequence[float], values: Sequence[float]) -> Expression:
    """`values[k]`, k the number of knots that are at most x: one value more than knots."""
    table = _table(knots, values, len(knots) + 1)
    return Expression(Op.STEP, (_lift(x),), table=table)


def linear(x: Operand, knots: Sequence[float], values: Sequence[float]) -> Expression:
    """Piecewise linear through (knot, value), flat beyond the ends; NaN stays NaN."""
    table = _table(knots, values, max(1, len(knots)))
    return Expression(Op.LINEAR, (_lift(x),), table=table)


def _table(
    knots: Sequence[float], values: Sequence[float], wanted: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    x, y = tuple(map(float, knots)), tuple(map(float, values))
    if len(y) != wanted:
        raise TreehouseError(
            "a table's values do not fit its knots",
            value=f"{len(x)} knots, {len(y)} values",
            expected=f"{wanted} values",
        )
    if any(not a < b for a, b in pairwise(x)) or not all(np.isfinite(x)):
        raise TreehouseError("a table's knots must be finite and increase", value=x)
    return x, y


def postfix(expression: Expression) -> Iterator[Expression]:
    """Its parts, each behind its arguments: the order in which a program runs. A part that stands
    in several places comes as often.

    Raises:
        TreehouseError: There are more parts than a program may have.
    """
    waiting = [(expression, False)]
    count = 0
    while waiting:
        part, is_ready = waiting.pop()
        if part.args and not is_ready:
            waiting.append((part, True))
            waiting.extend((arg, False) for arg in reversed(part.args))
            continue
        count += 1
        if count > _MOST_PARTS:
            raise TreehouseError(
                "an expression is too long",
                value=f"more than {_MOST_PARTS:,} operations",
                expected="fewer; what is used twice is computed twice",
            )
        yield part


def evaluate(
    expression: Expression,
    outputs: Sequence[Floats] = (),
    inputs: Mapping[str, Floats] | None = None,
    margins: Sequence[Floats] = (),
) -> Floats:
    """What the scorer answers for this head.

    Args:
        expression: the head.
        outputs: for each forest float64[rows, outputs], after its post-processor.
        inputs: for each input that the expression names float64[rows].
        margins: for each forest float64[rows, outputs], before its post-processor.

    Returns:
        float64[rows], or float64[] (a scalar array) if the expression is constant.
    """
    from treehouse.bundle.evaluation import apply

    return apply(expression, outputs, inputs or {}, margins)
