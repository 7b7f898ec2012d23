"""What a column may hold: categories of any bytes and any number, and numbers of any width that a
Float64 stands for; every other type is refused with what to cast it to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tiny import Tiny, chance, copy_with, drive
from treehouse.project.errors import TreehouseError
from treehouse.project.types import check_type, fits

pytestmark = pytest.mark.slow

_SPEC = (
    "objectives=('squared_error',), trainers=({trainer!r},), "
    "boosting=Boosting(trees=20, depth=4, rows_per_leaf=5, learning_rate=0.5)"
)
_NUMBERS = (
    "Int8", "UInt64", "Float32", "BFloat16", "Decimal(9, 2)", "Decimal(38, 3)", "Decimal(76, 10)",
    "Bool", "Nullable(Int16)", "Nullable(Bool)", "Nullable(Decimal(76, 10))", "Nullable(BFloat16)",
)  # fmt: skip
_TEXTS = (
    "String",
    "Nullable(String)",
    "LowCardinality(String)",
    "LowCardinality(Nullable(String))",
)
_FIXED = ("FixedString(1)", "Nullable(FixedString(1))", "LowCardinality(FixedString(1))")
"""dbt takes them for String in an enforced contract, and refuses them there by itself."""
_OTHERS = (
    ("Int128", "toFloat64"), ("Nullable(UInt256)", "toFloat64"), ("Int256", "toFloat64"),
    ("LowCardinality(UInt128)", "toFloat64"), ("Array(Int128)", "toFloat64"),
    ("Date", "dateDiff"), ("Date32", "dateDiff"), ("DateTime('UTC')", "dateDiff"),
    ("DateTime64(3)", "dateDiff"), ("Nullable(Date)", "dateDiff"), ("Time", "dateDiff"),
    ("Time64(3)", "dateDiff"), ("IntervalDay", "toInt64"), ("UUID", "toString"),
    ("IPv4", "toString"), ("IPv6", "toString"), ("Enum8('a' = 1)", "toString"),
    ("Enum16('String' = 1)", "toString"), ("LowCardinality(Nullable(Date))", "dateDiff"),
    ("Variant(String, UInt8)", "toString"), ("Dynamic", "toString"), ("JSON", "its parts"),
    ("Tuple(a String, b UInt8)", "its parts"), ("Map(String, Float64)", "its parts"),
    ("Point", "its parts"), ("Array(Date)", "dateDiff"), ("Array(Array(String))", "its parts"),
    ("AggregateFunction(sum, Float64)", "its parts"), ("Nothing", "its parts"),
)  # fmt: skip
_MANY = 30_000


def _city(name: str, trainer: str, cities: str) -> Tiny:
    return Tiny(
        name,
        (
            ("a", "Float64", chance("a")),
            ("city", "String", f"[{cities}][1 + number % 4]"),
        ),
        "100. * (number % 4) + a",
        _SPEC.format(trainer=trainer),
        rows=800,
    )


_CASES = (
    _city("latin", "lightgbm", "unhex('e9'), unhex('fc'), 'x', 'y'"),
    _city("latin_xgboost", "xgboost", "unhex('e9'), unhex('fc'), 'x', 'y'"),
    _city("clash", "lightgbm", "unhex('e9'), 'e9', 'E9', 'y'"),
    Tiny(
        "many",
        (
            ("a", "Float64", chance("a")),
            ("campaign", "String", f"leftPad(toString(number % {_MANY}), 20, '0')"),
        ),
        "100. * a",
        _SPEC.format(trainer="lightgbm"),
        rows=3 * _MANY,
    ),
    Tiny(
        "kinds",
        (
            *((f"n{i}", kind, f"number % {i + 2} > 0") for i, kind in enumerate(_NUMBERS)),
            *((f"t{i}", kind, f"toString(number % {i + 2})") for i, kind in enumerate(_TEXTS)),
        ),
        "10. * (number % 2) + number % 3",
        _SPEC.format(trainer="lightgbm"),
        rows=600,
    ),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All of them built, trained, published and promoted in one process."""
    project = copy_with(tmp_path_factory.mktemp("columns") / "copy", list(_CASES))
    cities = ("unhex('e9')", "unhex('fc')", "'x'", "'y'", "'e9'", "'E9'", "'fc'", "null")
    queries = {
        name: f"select {', '.join(f'predict_{name}(0.5, {city})' for city in cities)}"
        for name in ("latin", "latin_xgboost", "clash")
    }
    names = [case.name for case in _CASES]
    kinds = ", ".join(name for name, _, _ in _CASES[-1].features)
    queries |= {
        "many": "select corr(predict_many(a, campaign), a) from treehouse.many_features",
        "kinds": f"select corr(predict_kinds({kinds}), 10 * (id % 2) + id % 3) "
        "from treehouse.kinds_features",
        "statistics": "select arraySort(arrayMap(c -> hex(c), categories)) from "
        "treehouse_registry.statistics where model = 'clash' and name = 'city'",
    }
    return drive(project, {"use_cases": names, "monitor": ["clash"], "queries": queries})


@pytest.mark.parametrize("name", [case.name for case in _CASES])
def test_it_goes_the_whole_way(found: dict[str, Any], name: str) -> None:
    assert "build" not in found, found.get("build")
    case = found["use_cases"][name]
    assert (case.get("version"), case.get("different")) == (1, 0), case


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("latin", (0, 100, 200, 300, None, None, None, None)),
        ("latin_xgboost", (0, 100, 200, 300, None, None, None, None)),
        ("clash", (0, None, None, 300, 100, 200, None, None)),
    ],
)
def test_categories_are_their_bytes(
    found: dict[str, Any], name: str, expected: tuple[float | None, ...]
) -> None:
    """Each answers as its rows were; what is none of them, as a missing one."""
    answers = found["answers"][name][0]
    for answer, right in zip(answers, expected, strict=True):
        assert answer == pytest.approx(answers[-1] if right is None else right, abs=15)
    assert len({round(answer) for answer in answers}) in (4, 5)


def test_statistics_hold_the_bytes(found: dict[str, Any]) -> None:
    assert isinstance(found["answers"]["monitor clash"], list), found["answers"]
    assert found["answers"]["statistics"] == [[["4539", "6539", "79", "E9"]]]


def test_all_categories_of_the_training_rows_are_kept(found: dict[str, Any]) -> None:
    """Those of the numbers that end with 0 to 3: as literals they would exceed a query's length."""
    assert found["use_cases"]["many"]["categories"] == {"campaign": _MANY * 4 // 10}


@pytest.mark.parametrize("name", ["many", "kinds"])
def test_answers_follow_the_columns(found: dict[str, Any], name: str) -> None:
    assert found["answers"][name][0][0] > 0.5


@pytest.mark.parametrize("kind", [*_NUMBERS, *_TEXTS, *_FIXED])
def test_types_that_work(kind: str) -> None:
    check_type("x", kind, "numeric" if kind in _NUMBERS else "categorical", "models/a/a.yml")


@pytest.mark.parametrize(("kind", "cast"), _OTHERS)
def test_types_that_do_not(kind: str, cast: str) -> None:
    """The message names the column, its type, what to cast it to, and the file."""
    for of in ("numeric", "categorical", "series", "tokens"):
        with pytest.raises(TreehouseError) as told:
            check_type("x", kind, of, "models/a/a.yml")
        assert told.value.value == f"x {kind}"
        assert cast in (told.value.fix or "")
        assert "models/a/a.yml" in (told.value.fix or "")


def test_labels_may_be_wider() -> None:
    assert all(fits(kind, "number") for kind in ("Int128", "UInt256", "Decimal(76, 2)", "Bool"))
    assert fits("Enum8('a' = 1)", "class")
    assert not fits("Date", "number")
