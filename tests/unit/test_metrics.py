"""Metrics against scikit-learn and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    root_mean_squared_error,
)

from treehouse.fit.regression_metrics import (
    bias,
    cohort_error,
    coverage,
    deciles,
    normalised_gini,
    value_metrics,
)


def test_errors_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    actual = np.where(rng.random(500) < 0.6, 0.0, rng.lognormal(1.0, 1.5, 500))
    predicted = rng.lognormal(0.5, 1.0, 500)
    found = value_metrics(actual, predicted)
    payers = actual > 0
    assert found["mae"] == pytest.approx(mean_absolute_error(actual, predicted))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(actual, predicted))
    assert found["mape_payers"] == pytest.approx(
        mean_absolute_percentage_error(actual[payers], predicted[payers])
    )
    assert found["zero_share"] == pytest.approx((actual == 0).mean())
    assert found["bias"] == pytest.approx(predicted.sum() / actual.sum() - 1)
    assert "cohort_mape" not in found


def test_nobody_pays() -> None:
    found = value_metrics(np.zeros(20), np.ones(20))
    assert found["mape_payers"] is None
    assert found["bias"] is None
    assert found["zero_share"] == 1.0
    assert found["gini"] == 0.0
    assert found["mae"] == 1.0


def test_labels_of_either_sign_by_hand() -> None:
    """Losses are no zeros; what is a share of a sum is one of the sum of sizes."""
    actual = np.array([-4.0, 0.0, 3.0, 1.0])
    found = value_metrics(actual, np.array([-3.0, 1.0, 2.0, 4.0]), np.array([1.0, 1, 2, 2]))
    assert found["zero_share"] == 0.25
    assert found["bias"] == pytest.approx(4 / 8)
    assert found["cohort_mape"] == pytest.approx((2 + 2) / (4 + 4))
    # Sums in the order 3, 1, 0, -4 are 3, 4, 4, 0: an area of 11; in that of the predictions,
    # 1, 3, 0, -4, of 1 + 4 + 4 + 0 = 9.
    assert found["gini"] == pytest.approx(9 / 11)
    losses = value_metrics(-np.array([1.0, 2.0, 5.0]), -np.array([1.0, 3.0, 6.0]))
    assert losses["zero_share"] == 0
    assert losses["bias"] == pytest.approx(-2 / 8)
    assert losses["gini"] == pytest.approx(1)


def test_bias_and_its_error_by_hand() -> None:
    """Errors of 1 and 1 over labels of 1 and 3: half of them, less which -0.5 and 0.5 remain."""
    actual, predicted = np.array([1.0, 3.0]), np.array([2.0, 4.0])
    found = bias(actual, predicted)
    assert found == {"bias": 0.5, "bias_error": pytest.approx(np.sqrt(0.5) / 4)}
    # Weights of 2 and 1: errors of 2 and 1 over sizes of 2 and 3, less which 0.8 and -0.8 remain.
    weighted = bias(actual, predicted, np.array([2.0, 1.0]))
    assert weighted["bias"] == pytest.approx(3 / 5)
    assert weighted["bias_error"] == pytest.approx(0.8 * np.sqrt(2) / 5)


def test_gini_by_hand() -> None:
    """Actual 3, 1, 0 in that order: shares 3/4, 1, 1; area (0 + 3/4 + 3/4 + 1 + 1 + 1) / 3."""
    actual = np.array([3.0, 1.0, 0.0])
    assert normalised_gini(actual, np.array([9.0, 5.0, 1.0])) == pytest.approx(1.0)
    assert normalised_gini(actual, np.array([1.0, 5.0, 9.0])) == pytest.approx(-1.0)
    # Order 1, 3, 0: shares 1/4, 1, 1: 4.5 / 3 - 1... = (1/4 + 5/4 + 2) / 3 - 1 = 1/6, over 1/2.
    assert normalised_gini(actual, np.array([5.0, 9.0, 1.0])) == pytest.approx(1 / 3)


def test_gini_of_equal_predictions_is_that_of_a_random_order() -> None:
    actual = np.array([0.0, 0.0, 5.0, 1.0])
    assert normalised_gini(actual, np.full(4, 2.0)) == pytest.approx(0.0, abs=1e-12)
    # The mean over both orders of a tie is the tie's own.
    tied = normalised_gini(actual, np.array([1.0, 2.0, 2.0, 3.0]))
    both = [normalised_gini(actual, np.array([1.0, 2.0 - d, 2.0 + d, 3.0])) for d in (0.1, -0.1)]
    assert tied == pytest.approx(np.mean(both))


values = st.lists(st.floats(0, 1e6), min_size=2, max_size=40)


@settings(max_examples=80, deadline=None)
@given(actual=values, seed=st.integers(0, 2**32 - 1))
def test_gini_does_not_depend_on_scale_or_on_the_order_of_rows(
    actual: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    given_rows = np.round(np.array(actual), 2)
    predicted = rng.integers(0, 5, len(actual)).astype(float)
    found = normalised_gini(given_rows, predicted)
    assert -1 - 1e-9 <= found <= 1 + 1e-9
    assert normalised_gini(given_rows, np.exp(predicted)) == pytest.approx(found, abs=1e-9)
    order = rng.permutation(len(actual))
    assert normalised_gini(given_rows[order], predicted[order]) == pytest.approx(found, abs=1e-9)
    assert normalised_gini(given_rows, given_rows) in (0.0, pytest.approx(1.0))


def test_deciles_by_hand() -> None:
    predicted = np.arange(20.0)
    found = deciles(predicted * 2, predicted)
    assert [tenth["predicted"] for tenth in found] == [18.5 - 2 * n for n in range(10)]
    assert [tenth["actual"] for tenth in found] == [2 * (18.5 - 2 * n) for n in range(10)]
    assert found[0]["lift"] == pytest.approx(37 / 19)
    assert np.mean([tenth["lift"] for tenth in found]) == pytest.approx(1.0)


def test_deciles_of_fewer_rows_than_ten() -> None:
    found = deciles(np.array([4.0, 0.0]), np.array([1.0, 2.0]))
    assert [tenth["actual"] for tenth in found] == [0.0, 4.0]


def test_lifts_over_a_mean_of_nothing_are_the_means_themselves() -> None:
    found = deciles(np.array([-4.0, 4.0]), np.array([1.0, 2.0]))
    assert [tenth["lift"] for tenth in found] == [4.0, -4.0]


def test_cohort_error_by_hand() -> None:
    """Sums: 6 against 8 and 12 against 11: (2 + 1) / 18. Errors within a cohort cancel."""
    actual = np.array([1.0, 5.0, 12.0])
    predicted = np.array([7.0, 1.0, 11.0])
    cohort = np.array([1.0, 1.0, 2.0])
    assert cohort_error(actual, predicted, cohort) == pytest.approx(3 / 18)
    assert value_metrics(actual, predicted, cohort)["cohort_mape"] == pytest.approx(3 / 18)
    assert cohort_error(np.zeros(3), predicted, cohort) is None
    # Sums of -6 and 12: errors of 14 and 1, over 18. They add up to nothing that is divided by.
    assert cohort_error(np.array([-1.0, -5.0, 12.0]), predicted, cohort) == pytest.approx(15 / 18)


def test_coverage_holds_its_ends() -> None:
    found = coverage(np.array([0.0, 1.0, 3.0, 9.0]), np.array([0.0, 0, 4, 0]), np.full(4, 9.0))
    assert found == {"coverage": 0.75, "width": 8.0}
