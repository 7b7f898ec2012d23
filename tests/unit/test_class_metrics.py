"""Metrics of probabilities and of decisions, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from treehouse.cli.metrics_table import beaten, metric_rows
from treehouse.fit.classification import mean_log_loss
from treehouse.fit.classification_metrics import (
    calibration_error,
    class_metrics,
    probability_metrics,
)


def test_log_loss_by_hand() -> None:
    actual, predicted = np.array([1.0, 0.0, 0.0]), np.array([0.8, 0.4, 0.5])
    expected = -(math.log(0.8) + math.log(0.6) + math.log(0.5)) / 3
    assert mean_log_loss(actual, predicted) == pytest.approx(expected)
    weighted = -(2 * math.log(0.8) + math.log(0.6) + math.log(0.5)) / 4
    assert mean_log_loss(actual, predicted, np.array([2.0, 1, 1])) == pytest.approx(weighted)
    sure = mean_log_loss(np.array([1.0]), np.array([0.0]))
    assert sure == pytest.approx(-math.log(1e-6))
    shares = np.array([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])
    assert mean_log_loss(np.array([0.0, 2.0]), shares) == pytest.approx(math.log(2), rel=1e-5)


def test_ranking_and_brier_by_hand() -> None:
    found = probability_metrics(np.array([1.0, 0, 1, 0]), np.array([0.9, 0.6, 0.4, 0.1]))
    assert found["auc"] == pytest.approx(3 / 4)  # 3 of 4 pairs in order
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert found["base_rate"] == 0.5
    assert found["lift_1"] == found["lift_10"] == 2.0


def test_one_outcome_has_no_ranking() -> None:
    found = probability_metrics(np.zeros(30), np.linspace(0, 1, 30))
    assert found["auc"] is None
    assert found["average_precision"] is None
    assert found["lift_5"] is None
    assert np.isfinite(found["log_loss"])


def test_lift_is_of_the_highest_predictions() -> None:
    predicted = np.arange(200) / 200
    found = probability_metrics((np.arange(200) >= 190).astype(float), predicted)
    assert found["lift_1"] == found["lift_5"] == pytest.approx(20.0)
    assert found["lift_10"] == pytest.approx(10.0)


def test_calibration_error_by_hand() -> None:
    """Half the rows are told 0.2 and half 0.8, and 0.3 and 0.6 of them come true."""
    predicted = np.repeat([0.2, 0.8], 1000)
    actual = np.concatenate([np.tile([1] * 3 + [0] * 7, 100), np.tile([1] * 6 + [0] * 4, 100)])
    assert calibration_error(actual.astype(float), predicted) == pytest.approx(0.15)
    assert calibration_error(actual.astype(float), np.repeat([0.3, 0.6], 1000)) < 1e-12
    twice = np.repeat([2.0, 1.0], 1000)
    found = calibration_error(actual.astype(float), predicted, twice)
    assert found == pytest.approx((2 * 0.1 + 0.2) / 3)

    few = calibration_error(np.tile([1.0, 0.0], 30), np.linspace(0.4, 0.6, 60))
    assert few < 1e-12  # one group of 60 rows, where 20 of 3 would see mistakes


def test_groups_of_calibration_have_50_rows() -> None:
    """Halves that are wrong by 0.2 in opposite ways: 100 rows tell, 98 are one group."""
    predicted, actual = np.repeat([0.4, 0.6], 50), np.tile([1.0] * 3 + [0.0] * 2, 20)
    actual[50:] = 1 - actual[50:]
    assert calibration_error(actual, predicted) == pytest.approx(0.2)
    without = np.delete(np.arange(100), [0, 99])
    assert calibration_error(actual[without], predicted[without]) < 0.02
    without = np.delete(np.arange(100), 99)
    assert calibration_error(actual[without], predicted[without]) < 0.02


def test_what_is_beyond_0_and_1_counts_as_these() -> None:
    actual = np.array([1.0, 0.0])
    assert probability_metrics(actual, np.array([1.5, -0.5]))["brier"] == 0
    assert probability_metrics(actual, np.array([-0.5, 1.5]))["brier"] == 1


def test_decisions_by_hand() -> None:
    costs = ((0, 1, 1), (5, 0, 1), (20, 5, 0))
    actual, decided = np.array([0.0, 0, 1, 2]), np.array([0.0, 1, 0, 2])
    found = class_metrics(actual, decided, None, ("a", "b", "c"), costs)
    assert found["cost"] == pytest.approx((0 + 1 + 5 + 0) / 4)
    assert found["accuracy"] == 0.5
    assert found["recall"] == {"a": 0.5, "b": 0.0, "c": 1.0}
    assert found["log_loss"] is None
    weighted = class_metrics(
        actual, decided, None, ("a", "b", "c"), costs, np.array([1.0, 1, 7, 1])
    )
    assert weighted["cost"] == pytest.approx((1 + 35) / 10)
    nobody = class_metrics(actual[:3], decided[:3], None, ("a", "b", "c"), costs)
    assert nobody["recall"]["c"] is None


def test_what_is_better_depends_on_the_task() -> None:
    better = {"log_loss": 0.3, "brier": 0.1, "auc": 0.9}
    worse = {"log_loss": 0.4, "brier": 0.2, "auc": 0.95}
    metrics = {
        "task": "probability", "chosen": "x", "model": better, "uncalibrated": worse,
        "baselines": {"rule": worse}, "best_possible": better,
    }  # fmt: skip
    assert beaten(metrics) == {"rule": {"log_loss": True, "brier": True, "auc": False}}
    assert [name for name, _ in metric_rows(metrics)][1:] == [
        "model: before calibration", "rule", "best possible",
    ]  # fmt: skip
    tiers = {"task": "classes", "model": {"cost": 1.0}, "baselines": {"age": {"cost": 1.0}}}
    assert beaten(tiers) == {"age": {"cost": False}}
