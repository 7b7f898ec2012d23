"""Metrics of a probability, and of decisions among classes; scikit-learn computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    recall_score,
    roc_auc_score,
)

from treehouse.fit.classification import mean_log_loss
from treehouse.fit.regression_metrics import bias, deciles

Floats = NDArray[np.float64]
_TOPS = (0.01, 0.05, 0.1)
_BINS, _ROWS_OF_BIN = 20, 50


def probability_metrics(
    actual: Floats, predicted: Floats, weight: Floats | None = None
) -> dict[str, Any]:
    """All metrics of a probability.

    Args:
        actual: float64[rows], 0 or 1.
        predicted: float64[rows], in [0, 1].
        weight: float64[rows].

    Returns:
        log_loss in nats; brier; auc, and average_precision (None where one outcome is missing);
        calibration_error, see there; base_rate; bias and bias_error, see
        treehouse.fit.regression_metrics; lift_1, lift_5 and lift_10: the share of ones
        among the highest 1, 5 and 10 % of predictions over the base rate; deciles.
    """
    predicted = np.clip(predicted, 0.0, 1.0)
    both = len(np.unique(actual)) == 2
    base = float(np.average(actual, weights=weight))
    metrics: dict[str, Any] = {
        "log_loss": mean_log_loss(actual, predicted, weight),
        "brier": float(brier_score_loss(actual, predicted, sample_weight=weight, pos_label=1)),
        "auc": float(roc_auc_score(actual, predicted, sample_weight=weight)) if both else None,
        "average_precision": float(average_precision_score(actual, predicted, sample_weight=weight))
        if both
        else None,
        "calibration_error": calibration_error(actual, predicted, weight),
        "base_rate": base,
        **bias(actual, predicted, weight),
        "deciles": deciles(actual, predicted),
    }
    order = np.argsort(-predicted, kind="stable")
    for top in _TOPS:
        best = order[: max(1, round(top * len(order)))]
        share = np.average(actual[best], weights=None if weight is None else weight[best])
        metrics[f"lift_{top * 100:.0f}"] = float(share) / base if base else None
    return metrics


def calibration_error(actual: Floats, predicted: Floats, weight: Floats | None = None) -> float:
    """Mean over 20 groups of about equal size, by prediction, of |mean of it - share of ones|.

    The expected calibration error with equal-mass bins (Naeini, Cooper, Hauskrecht 2015); with few
    rows there are fewer groups, of 50 rows at least, for in smaller ones chance alone looks like a
    mistake (Broecker: Estimating reliability and resolution of probability forecasts, 2012).
    """
    weight = np.ones(len(actual)) if weight is None else weight
    bins = max(1, min(_BINS, len(actual) // _ROWS_OF_BIN))
    parts = np.array_split(np.argsort(predicted, kind="stable"), bins)
    gaps = [abs(float(np.sum(weight[p] * (predicted[p] - actual[p])))) for p in parts]
    return sum(gaps) / float(weight.sum())


def class_metrics(
    actual: Floats,
    decided: Floats,
    shares: Floats | None,
    classes: Sequence[str],
    costs: Sequence[Sequence[float]],
    weight: Floats | None = None,
) -> dict[str, Any]:
    """All metrics of decisions among classes.

    Args:
        actual: float64[rows], numbers of classes.
        decided: float64[rows], numbers of classes.
        shares: float64[rows, classes], or None for a rule that only decides.
        classes: Their names.
        costs: cost[class that is][class decided for].
        weight: float64[rows].

    Returns:
        log_loss in nats, None for a rule; accuracy; cost, the mean of what the decisions cost;
        recall: for each class the share of its rows that were decided for it, None where it has
        none.
    """
    is_class, decision = actual.astype(int), decided.astype(int)
    numbers = list(range(len(classes)))
    recall = recall_score(
        is_class, decision, labels=numbers, average=None, sample_weight=weight, zero_division=np.nan
    )
    return {
        "log_loss": None if shares is None else mean_log_loss(actual, shares, weight),
        "accuracy": float(accuracy_score(is_class, decision, sample_weight=weight)),
        "cost": float(np.average(np.asarray(costs)[is_class, decision], weights=weight)),
        "recall": {
            name: None if np.isnan(share) else float(share)
            for name, share in zip(classes, recall, strict=True)
        },
    }
