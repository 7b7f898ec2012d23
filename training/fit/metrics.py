"""Metrics of a value model: errors, ranking, calibration, and errors of sums over cohorts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def value_metrics(
    actual: Floats, predicted: Floats, cohort: Floats | None = None
) -> dict[str, Any]:
    """All metrics of one prediction.

    Args:
        actual: float64[rows] in USD.
        predicted: float64[rows] in USD.
        cohort: float64[rows], a number for each cohort.

    Returns:
        mae and rmse in USD; deviance, see there; mape_payers, the mean of |error| / actual where
        actual > 0; zero_share; gini (normalised, 1 is a perfect ranking); bias, predicted over
        actual sum less 1; cohort_mape, the mean over cohorts of |error of the sum| / sum, weighted
        by the sum, so that small cohorts don't decide; deciles.
    """
    payers = actual > 0
    metrics: dict[str, Any] = {
        "mae": float(np.mean(np.abs(predicted - actual))),
        "rmse": float(np.sqrt(np.mean((predicted - actual) ** 2))),
        "deviance": deviance(actual, predicted),
        "mape_payers": float(np.mean(np.abs(predicted - actual)[payers] / actual[payers]))
        if payers.any()
        else None,
        "zero_share": float(np.mean(~payers)),
        "gini": normalised_gini(actual, predicted),
        "bias": float(predicted.sum() / actual.sum() - 1) if actual.sum() else None,
        "deciles": deciles(actual, predicted),
    }
    if cohort is not None:
        metrics["cohort_mape"] = cohort_error(actual, predicted, cohort)
    return metrics


def deviance(actual: Floats, predicted: Floats) -> float:
    """Mean Tweedie deviance of power 1.5, as `training.lifecycle.losses` has it in SQL.

    As there, a prediction counts as no less than a hundredth of the mean.
    """
    root = np.sqrt(np.maximum(predicted, max(float(actual.mean()) / 100, 1e-9)))
    return float(np.mean(4 * (root - np.sqrt(np.maximum(actual, 0))) ** 2 / root))


def normalised_gini(actual: Floats, predicted: Floats) -> float:
    """Gini of the actual values in the order of the predicted, over that of a perfect order.

    Equal predictions share their places. Source: the Lorenz-curve Gini that value models are
    compared by, e.g. Wang, Liu, Miao: A deep probabilistic model for customer lifetime value
    prediction (2019), section 4.
    """
    perfect = _gini(actual, actual)
    return _gini(actual, predicted) / perfect if perfect else 0.0


def _gini(actual: Floats, order: Floats) -> float:
    _, group = np.unique(-order, return_inverse=True)
    sums = np.bincount(group, weights=actual)
    counts = np.bincount(group)
    if not sums.sum():
        return 0.0
    share = np.concatenate([[0.0], np.cumsum(sums) / sums.sum()])
    width = counts / counts.sum()
    return float(np.sum(width * (share[1:] + share[:-1]))) - 1.0


def deciles(actual: Floats, predicted: Floats) -> list[dict[str, float]]:
    """For tenths of the rows, highest predictions first: mean prediction, mean actual, lift."""
    parts = np.array_split(np.argsort(-predicted, kind="stable"), 10)
    mean = float(actual.mean()) or 1.0
    return [
        {
            "predicted": float(predicted[part].mean()),
            "actual": float(actual[part].mean()),
            "lift": float(actual[part].mean()) / mean,
        }
        for part in parts
        if len(part)
    ]


def cohort_error(actual: Floats, predicted: Floats, cohort: Floats) -> float:
    """Sum over cohorts of |predicted sum - actual sum|, over the actual sum."""
    _, group = np.unique(cohort, return_inverse=True)
    error = np.abs(np.bincount(group, weights=predicted - actual))
    total = float(actual.sum())
    return float(error.sum()) / total if total else float("nan")


def coverage(actual: Floats, low: Floats, high: Floats) -> dict[str, float]:
    """Share of the actual values inside the interval, and its mean width in USD."""
    inside = (actual >= low) & (actual <= high)
    return {"coverage": float(inside.mean()), "width": float((high - low).mean())}
