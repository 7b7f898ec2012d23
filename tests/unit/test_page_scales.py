"""Numbers for people, and places on a chart."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.some import some
from treehouse.project.scales import (
    MINUS,
    NOTHING,
    Scale,
    amount,
    figure,
    linear,
    logarithmic,
    minute,
    percent,
    root,
    tick,
)

SPACE = "\N{NO-BREAK SPACE}"
FINITE = st.floats(-1e12, 1e12)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.884, "usd", "$1.88"),
        (-0.001, "usd", "$0.00"),
        (-3.5, "usd", MINUS + "$3.50"),
        (123.4, "usd", "$123"),
        (32409.2, "usd", "$32,409"),
        (2.5e6, "usd", "$2.5M"),
        (0.0523, "share", f"5.2{SPACE}%"),
        (1234.5, "number", "1,234"),
        (0.12345, "number", "0.123"),
        (None, "usd", NOTHING),
        (math.nan, "usd", NOTHING),
        (math.inf, "number", NOTHING),
    ],
)
def test_amounts(value: float | None, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_percents_keep_a_decimal_where_it_matters() -> None:
    shown = [percent(v) for v in (0.0, 0.004, 0.5, 0.953, 1.0, 1.04)]
    assert shown == [f"{t}{SPACE}%" for t in ("0", "0.4", "50", "95.3", "100", "104")]
    assert percent(0.2, signed=True) == f"+20{SPACE}%"
    assert percent(-0.2, signed=True) == f"{MINUS}20{SPACE}%"


def test_figures_and_ticks() -> None:
    assert [figure(v) for v in (0.0, 3.0, 0.98, 1.5, 0.0001, -0.5, 12345.6)] == [
        "0", "3", "0.980", "1.5", f"<{SPACE}0.001", MINUS + "0.500", "12,346",
    ]  # fmt: skip
    assert [tick(v, "usd") for v in (0, 2500, 10000, 2e6)] == ["$0", "$2,500", "$10k", "$2M"]
    assert [tick(v) for v in (2e6, 8e9, -0.5)] == ["2M", "8B", MINUS + "0.5"]
    assert tick(0.25, "share") == "25 %"


def test_times() -> None:
    assert minute(datetime(2026, 3, 4, 5, 6, tzinfo=UTC)) == "4 Mar 2026, 05:06"
    assert minute(None) == NOTHING


@given(st.lists(FINITE | st.just(math.nan) | st.none(), max_size=20))
def test_scales_hold_all_values_between_round_ends(values: list[float | None]) -> None:
    known = [v for v in values if v is not None and math.isfinite(v)]
    for scale in (linear(values, 0, 100), root(values, 0, 100)):
        slack = 1e-8 * (scale.high - scale.low)  # that a rounding error adds no further step
        for value in known:
            assert scale.low - slack <= value <= scale.high + slack
            assert 0 <= scale(value) <= 100
        assert 1 <= len(scale.ticks) <= 13
        assert sorted(scale.ticks) == scale.ticks


@given(st.lists(st.floats(1e-9, 1e12), min_size=1, max_size=20))
def test_logarithms_end_at_powers_of_ten(values: list[float]) -> None:
    scale = logarithmic(values, 10, 0)
    assert all(0 <= scale(v) <= 10 for v in some(values))
    assert scale.low <= min(values) * (1 + 1e-9)
    assert max(values) <= scale.high * (1 + 1e-9)
    assert all(math.isclose(math.log10(t), round(math.log10(t))) for t in some(scale.ticks))


def test_roots_show_small_values_beside_large_ones() -> None:
    skewed = root([30, 1, 0.4, 0.05, 0], 0, 100)
    assert skewed.kind == "root"
    assert skewed(1) > linear([30, 1], 0, 100)(1) * 3
    assert root([3, 2, 2.5], 0, 100).kind == "linear"
    assert root([-3, 30, 0.1], 0, 100).kind == "linear"


def test_a_place_stays_within_the_ends() -> None:
    scale = Scale(0, 10, 100, 0)
    assert [scale(v) for v in (-5, 0, 5, 10, 50)] == [100, 100, 50, 0, 0]
    assert Scale(3, 3, 0, 10)(3) == 5
