"""Tests that can't fail are refused: `assert all(...)` of what may be empty, or of dicts."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


def vacuous(source: str) -> Iterator[int]:
    """Lines of `assert all(...)` that may say nothing.

    What is gone through must be `some(...)` or a literal with items: of an empty list all is true.
    A plain `all(values)` is refused too: an item that is a dict or a list is only asked whether it
    is empty.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            for call in ast.walk(node.test):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "all":
                    (given,) = call.args
                    if not isinstance(given, ast.GeneratorExp) or not _has_items(given):
                        yield call.lineno


def _has_items(given: ast.GeneratorExp) -> bool:
    first = given.generators[0]
    if first.ifs:
        return False
    if isinstance(first.iter, ast.Tuple | ast.List):
        return bool(first.iter.elts)
    return isinstance(first.iter, ast.Call) and ast.unparse(first.iter.func) == "some"


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.stem)
def test_no_test_is_true_of_nothing(path: Path) -> None:
    found = list(vacuous(path.read_text()))
    assert not found, f"{path}:{found}: write all(... for x in some(xs)), or not any(...)"


@pytest.mark.parametrize(
    ("statement", "is_vacuous"),
    [
        ("assert all(x > 0 for x in xs)", True),
        ("assert all(d.values())", True),
        ("assert done and all(x for x in ())", True),
        ("assert all(x for x in some(xs) if x)", True),
        ("assert all(x > 0 for x in some(xs))", False),
        ("assert all(x > 0 for x in (1, 2))", False),
        ("assert not any(x > 0 for x in xs)", False),
    ],
)
def test_what_is_refused(statement: str, is_vacuous: bool) -> None:
    assert bool(list(vacuous(statement))) == is_vacuous
