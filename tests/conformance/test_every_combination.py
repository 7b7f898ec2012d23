"""Minimal specs of every task, trainer and layout of heads, over columns of every kind: each can be
built, trained, published through the gates, promoted and asked, all options at their defaults, and
answers as the trainer's own library does.

By default a selection that has each value of each axis, and each pair of task and trainer; all
with --exhaustive. Only the sizes of the ensembles are small.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.support.tiny import Tiny, chance, copy_with, drive

pytestmark = pytest.mark.slow

_TRAINERS = ("lightgbm", "xgboost", "random_forest", "extra_trees")
_NUMBER = f"10 * a + 5 * b + {chance('noise')}"
_YES = f"a + b / 4 + {chance('noise')} / 4 > 0.75"
_CLASS = "multiIf(a < 0.3, {}, a < 0.6, {}, {})"
_LAYOUTS: dict[str, tuple[str, str, str, str]] = {
    "value": ("value", "[value]", _NUMBER, ""),
    "value_typical": ("value", "[value, typical]", _NUMBER, ""),
    "value_interval": ("value", "[value, low, high]", _NUMBER, ""),
    "value_all": ("value", "[value, low, high, typical]", _NUMBER, ""),
    "value_further": ("value", "[value, amount]", _NUMBER, "also={'amount': Also()}"),
    "probability": ("probability", "[value]", _YES, ""),
    "probability_score": ("probability", "[value, score]", _YES, ""),
    "probability_all": ("probability", "[value, score, raw]", _YES, ""),
    "two_classes": ("classes", '[value, "no", "yes"]', f"if({_YES}, 'yes', 'no')", ""),
    "three_classes": (
        "classes", '[value, "0", "1", b c]', _CLASS.format("'0'", "'1'", "'b c'"), "",
    ),
    "classes_further": (
        "classes", "[value, x, y, z, amount]", _CLASS.format("'x'", "'y'", "'z'"),
        "also={'amount': Also()}",
    ),
}  # fmt: skip
"""Task, heads as YAML has them, label as SQL, and what the spec says besides."""
_BOTH = (("a", "Float64", chance("a")), ("b", "Float64", chance("b")))
_NULLABLE = ("c", "Nullable(Float64)", f"if(number % 3, {chance('c')}, null)")
_TEXT = ("d", "LowCardinality(Nullable(String))", "[null, 'x', 'y', ''][1 + number % 4]")
_CONSTANT = ("e", "UInt8", "7")
_MISSING = ("f", "Nullable(Int32)", "null")
_ONE_TEXT = ("g", "String", "'same'")
_NO_TEXT = ("h", "Nullable(String)", "null")
_COLUMNS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "numbers": _BOTH,
    "gaps": (*_BOTH, _NULLABLE, _TEXT),
    "nothing": (*_BOTH, _CONSTANT, _MISSING, _ONE_TEXT, _NO_TEXT),
    "everything": (*_BOTH, _NULLABLE, _TEXT, _CONSTANT, _MISSING, _ONE_TEXT, _NO_TEXT),
}
ALL = list(itertools.product(_LAYOUTS, _TRAINERS, _COLUMNS))
SOME = [
    (layout, _TRAINERS[i % 4], list(_COLUMNS)[(i + i // 4) % 4])
    for i, layout in enumerate(_LAYOUTS)
]


def _name(combination: tuple[str, str, str]) -> str:
    return "_".join(combination)


def _case(combination: tuple[str, str, str]) -> Tiny:
    layout, trainer, columns = combination
    task, heads, label, more = _LAYOUTS[layout]
    spec = (
        f"task={task!r}, trainers=({trainer!r},), {more + ', ' if more else ''}"
        "boosting=Boosting(trees=15, rows_per_leaf=10), "
        "bagging=Bagging(trees=10, rows_per_leaf=5)"
    )
    amounts = (("amount", "if(number % 3, 10 * a + b + 1, null)"),) if more else ()
    return Tiny(_name(combination), _COLUMNS[columns], label, spec, heads, amounts, rows=600)


def _driven(
    combinations: list[tuple[str, str, str]], factory: pytest.TempPathFactory
) -> dict[str, Any]:
    cases = [_case(combination) for combination in combinations]
    project = copy_with(factory.mktemp("combinations") / "copy", cases)
    names = [case.name for case in cases]
    queries = {
        name: f"select count(), countIf(isFinite(prediction.value)), any(prediction.version) "
        f"from treehouse.{name}_scores"
        for name in names
    }
    return drive(project, {"use_cases": names, "force": "", "queries": queries}, timeout=3600)


def _check(found: dict[str, Any], combination: tuple[str, str, str]) -> None:
    assert "build" not in found, found.get("build")
    name = _name(combination)
    brought = found["use_cases"][name]
    assert (brought.get("version"), brought.get("different")) == (1, 0), brought
    assert found["answers"][name] == [[600, 600, 1]]
    assert brought["chosen"].split()[0] == combination[1]
    # XGBoost's own link function is in float32.
    assert brought["off"] <= (1e-5 if combination[1] == "xgboost" else 1e-12), brought


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The selection, in one project and one process."""
    return _driven(SOME, tmp_path_factory)


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All others, likewise."""
    return _driven([one for one in ALL if one not in SOME], tmp_path_factory)


@pytest.mark.embedded
@pytest.mark.parametrize("combination", SOME, ids=_name)
def test_a_selection(some: dict[str, Any], combination: tuple[str, str, str]) -> None:
    _check(some, combination)


@pytest.mark.embedded
def test_enough_is_compared(some: dict[str, Any]) -> None:
    """An answer of a single model is compared with its library's in every row."""
    compared = [case["compared"] for case in some["use_cases"].values()]
    assert sum(rows == 600 for rows in compared) >= 5, some["use_cases"]


@pytest.mark.exhaustive
@pytest.mark.embedded
@pytest.mark.parametrize("combination", [one for one in ALL if one not in SOME], ids=_name)
def test_all_others(rest: dict[str, Any], combination: tuple[str, str, str]) -> None:
    _check(rest, combination)
