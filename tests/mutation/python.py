"""Errors in Python, by cosmic-ray's operators and two of our own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

_OPERATORS = (
    "core/AddNot",
    "core/NumberReplacer",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceContinueWithBreak",
    "core/ZeroIterationForLoop",
    "core/ReplaceUnaryOperator_Delete_USub",
    "core/ReplaceUnaryOperator_Delete_Invert",
    *(
        f"core/ReplaceBinaryOperator_{pair}"
        for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul")
    ),
    *(
        f"core/ReplaceComparisonOperator_{pair}"
        for pair in (
            "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_Gt", "Gt_Lt", "LtE_GtE", "GtE_LtE",
            "Eq_NotEq", "NotEq_Eq",
        )
    ),
)  # fmt: skip


_ANSWERS_ALIKE = re.compile(r"\b(strict|frozen|random_state|max_iter)=\s*$")
"""Arguments that only check, or for which another value is as good: changing them is no error."""


class _LeafReplacer(Operator):
    """Another word in place of one that stands for itself."""

    words: ClassVar[dict[str, str]]

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if getattr(node, "value", None) in self.words:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, _: int) -> Any:
        node.value = self.words[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class SplitReplacer(_LeafReplacer):
    """Rows of another split: what is calibrated on test rows, or measured on validation rows."""

    words: ClassVar[dict[str, str]] = {
        '"train"': '"validation"',
        '"validation"': '"calibration"',
        '"calibration"': '"test"',
        '"test"': '"validation"',
    }


class ExtremeReplacer(_LeafReplacer):
    """The other extreme, or an extreme in place of a mean."""

    words: ClassVar[dict[str, str]] = {
        "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum",
        "argmin": "argmax", "argmax": "argmin", "mean": "max", "median": "max", "sum": "max",
        "all": "any", "any": "all",
    }  # fmt: skip


def python_mutants(source: str) -> Iterator[str]:
    """The source with one error each."""
    nodes = list(ast_nodes(get_ast(source)))
    operators = [get_operator(name)() for name in _OPERATORS]
    for operator in (*operators, SplitReplacer(), ExtremeReplacer()):
        count = sum(1 for node in nodes for _ in operator.mutation_positions(node))
        for occurrence in range(count):
            found = mutate_code(source, operator, occurrence)
            if found and _is_error(source, found):
                yield found


def _is_error(source: str, found: str) -> bool:
    """Whether it may answer otherwise; what is no program any more proves nothing."""
    try:
        ast.parse(found)
    except SyntaxError:
        return False
    pairs = enumerate(zip(source, found, strict=False))
    start = next(place for place, (was, now) in pairs if was != now)
    is_for_types = source[start:].startswith("TYPE_CHECKING")
    # A star that ends the arguments by place is a sign and no product.
    is_sign = source[start] == "*" and source[:start].rstrip().endswith((",", "("))
    return not (is_for_types or is_sign or _ANSWERS_ALIKE.search(source[:start]))
