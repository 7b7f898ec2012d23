"""Coverage and bias at the gate: chance is no reason to refuse, what is beyond it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from treehouse.bundle import e, evaluate
from treehouse.fit.interval import calibrate
from treehouse.fit.regression_metrics import bias, coverage
from treehouse.registry.outcome import Outcome
from treehouse.registry.sums import judge_sums
from treehouse.spec.gates import Gates

_FEW = 25
"""Of 400 trials 1 in 40 is refused by chance: 10, and more than this in one of 10,000 runs."""


def judged(metrics: dict[str, Any], heads: Any = ("value", "low", "high"), **bounds: float) -> Any:
    header = {"heads": heads, "info": {"metrics": {"model": {}} | metrics}}
    return {outcome.gate: outcome for outcome in judge_sums(header, Gates(**bounds))}


def interval_of(held: float, rows: int, calibrated: int, target: float) -> dict[str, Any]:
    return {
        "interval": {
            "target": target, "coverage": held, "rows": rows, "calibration_rows": calibrated,
        }
    }  # fmt: skip


@pytest.mark.parametrize(("share", "bins"), [(0.9, 20), (0.9, 1), (0.99, 20)])
def test_a_valid_interval_is_refused_by_chance_alone(share: float, bins: int) -> None:
    """Rows of calibration and test are drawn alike: at most one in forty is refused."""
    rng = np.random.default_rng(round(100 * share) + bins)
    refused = 0
    for _ in range(400):
        predicted, label = rng.normal(0, 1, (2, 1400))
        interval = calibrate(label[:600], predicted[:600], None, share, bins)
        low, high = (
            evaluate(end, inputs={"value": predicted[600:]})
            for end in interval.ends(e.feature("value"), None)
        )
        held = coverage(label[600:], low, high)["coverage"]
        assert held is not None
        refused += not judged(interval_of(held, 800, 600, share))["coverage"].passed
    assert refused <= _FEW


@pytest.mark.parametrize(
    ("held", "rows", "calibrated", "target"),
    [(0.82, 1000, 1000, 0.9), (0.955, 2000, 1000, 0.99), (0.88, 20_000, 20_000, 0.9)],
)
def test_what_chance_does_not_explain_is_refused(
    held: float, rows: int, calibrated: int, target: float
) -> None:
    """Even without the calibration's chance a binomial test finds it."""
    assert binomtest(round(rows * held), rows, target, "less").pvalue < 1e-6
    found: Outcome = judged(interval_of(held, rows, calibrated, target))["coverage"]
    assert not found.passed
    assert f"{held:.2%} of {rows:,} labels" in str(found)
    loose = judged(interval_of(held, rows, calibrated, target), uncovered=0.09)["coverage"]
    assert loose.passed


@pytest.mark.parametrize("held", [0.9, 0.98, 1.0])
def test_more_inside_than_asked_for_is_no_fault(held: float) -> None:
    assert judged(interval_of(held, 10_000, 10_000, 0.9))["coverage"].passed


def test_few_test_rows_prove_little() -> None:
    """Of 50 rows 48 inside for 99 %: two misses and more have a chance of 9 %."""
    assert judged(interval_of(48 / 50, 50, 1000, 0.99))["coverage"].passed
    assert not judged(interval_of(45 / 50, 50, 1000, 0.99))["coverage"].passed


def test_nothing_is_judged_that_is_not_answered_or_was_not_measured() -> None:
    metrics = interval_of(0.5, 1000, 1000, 0.9)
    assert not judged(metrics, heads=("value",))
    assert set(judged(metrics, heads=("value", "low"))) == {"coverage"}
    old = {"interval": {"target": 0.9, "coverage": 0.5}, "model": {"bias": 0.9}}
    assert not judged(old), "of a release that kept no errors"
    assert not judged({"model": {"bias": None, "bias_error": None}})


def test_an_unbiased_model_is_refused_by_chance_alone() -> None:
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(400):
        mean = rng.gamma(1.0, 1.0, 1000)
        label = mean * rng.gamma(0.5, 2.0, 1000) * (rng.random(1000) < 0.5) * 2
        refused += not judged({"model": bias(label, mean)}, bias=0.0)["bias"].passed
    # Two-sided, and the errors of heavy tails are estimated.
    assert refused <= 2 * _FEW


@pytest.mark.parametrize(("factor", "passes"), [(1.4, False), (0.6, False), (1.1, True)])
def test_a_sum_that_is_off_is_refused(factor: float, passes: bool) -> None:
    rng = np.random.default_rng(2)
    mean = rng.gamma(1.0, 1.0, 20_000)
    label = mean * rng.exponential(1.0, 20_000)
    for sign in (1, -1):
        found = judged({"model": bias(sign * label, sign * factor * mean)})["bias"]
        assert found.passed == passes
    assert judged({"model": bias(label, factor * mean)}, bias=math.inf)["bias"].passed


def test_what_chance_explains_is_the_law_of_the_drawn_rows() -> None:
    """Ranks of n new labels among m: labels beyond the k-th largest, by drawing them."""
    rng = np.random.default_rng(3)
    n, m = 40, 99  # k = 0.1 * (99 + 1) = 10
    drawn = rng.random((20_000, n + m))
    missed = (drawn[:, :n] > np.sort(drawn[:, n:], axis=1)[:, -10, None]).sum(axis=1)
    found = judged(interval_of(0.8, n, m, 0.9))["coverage"]
    most = round(found.bound * n)
    assert (missed <= most).mean() >= 0.975 > (missed <= most - 1).mean()
    assert found.value == pytest.approx(0.2)
    assert judged(interval_of(0.8, n, m, 0.9), uncovered=0.5)["coverage"].bound == found.bound + 0.5
    assert found.detail == (
        f"80.00% of 40 labels are inside an interval made for 0.9; "
        f"chance explains no less than {1 - most / n:.2%}"
    )


def test_the_near_end_of_the_bias_by_hand() -> None:
    """1.96 standard errors to either side, for 95 %."""
    found = judged({"model": {"bias": -0.5, "bias_error": 0.1}})["bias"]
    assert found.value == pytest.approx(0.5 - 0.196, abs=1e-4)
    assert "off by -50.0% of the labels' (95%: -69.6% to -30.4%), at most 25%" in found.detail
    assert judged({"model": {"bias": 0.1, "bias_error": 0.1}}, bias=0.0)["bias"].value == 0


def test_the_bias_and_its_error_by_hand() -> None:
    """Sums 6 of 4, 50 % off; what is left are errors of 1 - .5, 0 - .5 and 1 + 0."""
    found = bias(np.array([1.0, 3.0, 0.0]), np.array([2.0, 3.0, 1.0]))
    assert found["bias"] == pytest.approx(0.5)
    assert found["bias_error"] == pytest.approx(math.sqrt(0.5**2 + 1.5**2 + 1) / 4)
    weighted = bias(np.array([1.0, 3.0]), np.array([2.0, 3.0]), np.array([3.0, 1.0]))
    assert weighted["bias"] == pytest.approx(3 / 6)
    assert bias(np.zeros(2), np.ones(2)) == {"bias": None, "bias_error": None}
