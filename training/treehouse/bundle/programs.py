"""Expressions as postfix programs of 16-byte instructions; run by `udfs/scorer/program.cpp`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

from treehouse.bundle.expressions import Expression, Op, postfix
from treehouse.forest.model import Forest
from treehouse.project.errors import TreehouseError

_INSTRUCTION = struct.Struct("<IId")
_SPAN = struct.Struct("<II")
_MOST_VALUES = 64
"""Height of the scorer's stack; `kMaxDepth` in `udfs/scorer/program.cpp`."""


def check_output(forests: Sequence[Forest], forest: int, output: int) -> None:
    """Refuse a forest output that is not there."""
    if 0 <= forest < len(forests) and 0 <= output < forests[forest].n_outputs:
        return
    raise TreehouseError(
        "a head asks for a forest output that is not there",
        value=f"forest {forest}, output {output}",
        expected=", ".join(
            f"forest {i}: outputs 0 to {f.n_outputs - 1}" for i, f in enumerate(forests)
        ),
    )


class _Assembler:
    def __init__(self, forests: Sequence[Forest], input_index: Callable[[str], int]) -> None:
        self.code: list[bytes] = []
        self.tables: list[float] = []
        self._forests = forests
        self._input_index = input_index
        self._starts = [sum(f.n_outputs for f in forests[:i]) for i in range(len(forests))]

    def emit(self, expression: Expression) -> None:
        height = 0
        for part in postfix(expression):
            height += 1 - len(part.args)
            if height > _MOST_VALUES:
                raise TreehouseError(
                    "an expression is nested too deeply",
                    value=f"more than {_MOST_VALUES} values wait for each other",
                    expected="sums and chains that begin at the left: (a + b) + c",
                )
            operand = self._operand(part)
            self.code.append(_INSTRUCTION.pack(int(part.op), operand, part.number))

    def _operand(self, expression: Expression) -> int:
        op = expression.op
        if op is Op.INPUT:
            return self._input_index(expression.name)
        if op in (Op.STEP, Op.LINEAR):
            start = len(self.tables)
            knots, values = expression.table
            self.tables += [float(len(knots)), *knots, *values]
            return start
        if op not in (Op.OUTPUT, Op.MARGIN):
            return 0
        forest, output = expression.where
        check_output(self._forests, forest, output)
        return self._starts[forest] + output


def assemble(
    heads: Mapping[str, Expression],
    forests: Sequence[Forest],
    input_index: Callable[[str], int],
) -> tuple[bytes, bytes]:
    """The PROGRAMS section (a span for each head, then instructions) and the TABLES section."""
    assembler = _Assembler(forests, input_index)
    spans = b""
    for expression in heads.values():
        start = len(assembler.code)
        assembler.emit(expression)
        spans += _SPAN.pack(start, len(assembler.code) - start)
    tables = struct.pack(f"<{len(assembler.tables)}d", *assembler.tables)
    return spans + b"\0" * (-len(spans) % 16) + b"".join(assembler.code), tables
