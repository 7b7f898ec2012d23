"""The gates of quality by hand: which differences of losses pass, and what is said of them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from treehouse.registry.holdout import Comparison
from treehouse.registry.outcome import Outcome
from treehouse.registry.quality_gates import _beats, _beats_fitted, _not_worse, _ties
from treehouse.spec.gates import Gates


def found(ours: float, theirs: float, low: float, high: float, error: float = 0.0) -> Comparison:
    return Comparison(rows=1234, ours=ours, theirs=theirs, low=low, high=high, error=error)


def test_a_value_at_its_bound_passes_and_what_is_no_number_does_not() -> None:
    assert Outcome("gate", 2.0, 2.0, "two").passed
    assert str(Outcome("gate", 2.0, 2.0, "two")) == "gate: two"
    assert str(Outcome("gate", 3.5, 2.0, "two")) == "gate: two (over by 1.5)"
    assert not Outcome("gate", math.nan, 2.0, "two").passed
    assert str(Outcome("gate", math.nan, 2.0, "two")) == "gate: two"


def test_a_difference_is_a_share_of_the_others_loss() -> None:
    assert found(3, 4, -1, 1).share(-1) == -0.25
    assert found(3, 0, 3, 3).share(3) == 3


@pytest.mark.parametrize(
    ("ours", "high", "proven", "value", "is_chance"),
    [
        (3.0, -0.5, False, -0.25, False),
        (3.0, 0.5, False, -0.25, True),
        (3.0, 0.0, False, -0.25, False),
        (4.0, 1.0, False, 0.0, True),
        (4.5, 1.0, False, 0.125, True),
        (4.5, 2.0, False, 0.125, True),
        (3.0, -0.5, True, -0.125, False),
        (3.0, 0.5, True, 0.125, True),
    ],
)
def test_a_baseline_is_beaten_by_the_mean_or_by_all_of_the_interval(
    ours: float, high: float, proven: bool, value: float, is_chance: bool
) -> None:
    outcome = _beats("rule", found(ours, 4.0, -1.0, high), Gates(proven=proven))
    assert (outcome.gate, outcome.value, outcome.bound) == ("beats rule", value, 0)
    assert outcome.detail.endswith("which chance alone may explain") == is_chance


@pytest.mark.parametrize(
    ("ours", "error", "value", "is_told"),
    [(4.5, 1.0, -0.125, True), (5.0, 0.5, 0.125, True), (4.0, 1.0, -0.25, False)],
)
def test_a_tie_is_within_one_standard_error(
    ours: float, error: float, value: float, is_told: bool
) -> None:
    outcome = _ties("rule", found(ours, 4.0, -1.0, 1.0, error), Gates())
    assert (outcome.gate, outcome.value, outcome.bound) == ("not worse than rule", value, 0)
    assert (f"; its standard error is {error / 4:.1%}" in outcome.detail) == is_told


def test_the_champions_loss_may_be_exceeded_by_what_is_allowed() -> None:
    outcome = _not_worse(7, found(4.4, 4.0, 0.2, 0.6), Gates(worse_by=0.1), ". Note")
    assert (outcome.value, outcome.bound, outcome.passed) == (0.05, 0.1, True)
    assert outcome.detail == (
        "loss 4.4 against 4 of version 7 on 1,234 rows: +10.0% (95%: +5.0% to +15.0%). Note"
    )


def test_fitted_baselines_are_judged_as_they_were_measured() -> None:
    metrics: dict[str, Any] = {
        "model": {"loss": 3.0},
        "baselines": {"good": {"loss": 4.0}, "perfect": {"loss": 0.0}, "silent": {}},
        "not_fitted": {"bad": "why"},
    }
    for name, value, detail in (
        ("good", -0.25, "loss 3 against 4: -25.0%, as measured at the fit"),
        ("perfect", 3.0, "loss 3 against 0: +300.0%, as measured at the fit"),
        ("bad", 0.0, "not compared, for it was not fitted: why"),
    ):
        outcome = _beats_fitted(name, metrics, "loss")
        assert (outcome.value, outcome.bound, outcome.detail) == (value, 0, detail)
    for name in ("silent", "unknown"):
        outcome = _beats_fitted(name, metrics, "loss")
        assert math.isnan(outcome.value)
        assert outcome.bound == 0
    assert math.isnan(_beats_fitted("good", metrics | {"model": {}}, "loss").value)
