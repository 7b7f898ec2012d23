"""Metrics of a value model: errors, ranking, calibration, and errors of sums over cohorts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from treehouse.fit.deviance import deviance_scale, mean_deviance

Floats = NDArray[np.float64]


def value_metrics(
    actual: Floats, predicted: Floats, cohort: Floats | None = None, scale: float | None = None
) -> dict[str, Any]:
    """All metrics of one prediction.

    Args:
        actual: float64[rows] in USD.
        predicted: float64[rows] in USD.
        cohort: float64[rows], a number for each cohort.
        scale: Of the deviance; by default, that of these rows.

    Returns:
        mae and rmse in USD; deviance, see treehouse.fit.deviance; mape_payers, the mean of
        |error| / actual where actual > 0; zero_share; gini (normalised, 1 is a perfect ranking);
        bias and bias_error, see there; cohort_mape, the mean over cohorts of |error of the sum|
        / |sum|, weighted by the latter, so that small cohorts don't decide; deciles. None where it
        would be divided by zero.
    """
    payers = actual > 0
    metrics: dict[str, Any] = {
        "mae": float(np.mean(np.abs(predicted - actual))),
        "rmse": float(np.sqrt(np.mean((predicted - actual) ** 2))),
        "deviance": mean_deviance(actual, predicted, scale or deviance_scale(actual)),
        "mape_payers": float(np.mean(np.abs(predicted - actual)[payers] / actual[payers]))
        if payers.any()
        else None,
        "zero_share": float(np.mean(actual == 0)),
        "gini": normalised_gini(actual, predicted),
        **bias(actual, predicted),
        "deciles": deciles(actual, predicted),
    }
    if cohort is not None:
        metrics["cohort_mape"] = cohort_error(actual, predicted, cohort)
    return metrics


def bias(actual: Floats, predicted: Floats, weight: Floats | None = None) -> dict[str, Any]:
    """How far the sum of the predictions is off, as a share, and the standard error of that.

    The bias is the predicted less the actual sum, over the sum of all |actual|; its error is that
    of a ratio of sums (Cochran: Sampling techniques, 1977, section 6.4). Both are None where all
    labels are 0.
    """
    weight = np.ones(len(actual)) if weight is None else weight
    size = weight * np.abs(actual)
    if not (total := float(size.sum())):
        return {"bias": None, "bias_error": None}
    error = weight * (predicted - actual)
    found = float(error.sum()) / total
    spread = float(np.sqrt(np.sum((error - found * size) ** 2)))
    return {"bias": found, "bias_error": spread / total}


def normalised_gini(actual: Floats, predicted: Floats) -> float:
    """Gini of the actual values in the order of the predicted, over that of a perfect order.

    Equal predictions share their places. Source: the Lorenz-curve Gini that value models are
    compared by, e.g. Wang, Liu, Miao: A deep probabilistic model for customer lifetime value
    prediction (2019), section 4.
    """
    perfect = _gini(actual, actual)
    return _gini(actual, predicted) / perfect if perfect else 0.0


def _gini(actual: Floats, order: Floats) -> float:
    """Times the sum of the actual values, which may be 0 where both signs meet."""
    _, group = np.unique(-order, return_inverse=True)
    sums = np.cumsum(np.bincount(group, weights=actual))
    width = np.bincount(group) / len(actual)
    return float(np.sum(width * (sums + np.concatenate([[0.0], sums[:-1]])))) - float(sums[-1])


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


def cohort_error(actual: Floats, predicted: Floats, cohort: Floats) -> float | None:
    """Sum over cohorts of |predicted sum - actual sum|, over that of |actual sum|."""
    _, group = np.unique(cohort, return_inverse=True)
    error = np.abs(np.bincount(group, weights=predicted - actual))
    total = float(np.abs(np.bincount(group, weights=actual)).sum())
    return float(error.sum()) / total if total else None


def coverage(actual: Floats, low: Floats, high: Floats) -> dict[str, float | None]:
    """Share of the actual values inside the interval; its mean width in USD, None for infinite."""
    inside = (actual >= low) & (actual <= high)
    width = float((high - low).mean())
    return {"coverage": float(inside.mean()), "width": width if np.isfinite(width) else None}
