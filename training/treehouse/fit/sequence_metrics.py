"""Metrics of ranked answers to what comes next in a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from treehouse.fit.classification_metrics import calibration_error
from treehouse.fit.sequences import row_losses

Floats = NDArray[np.float64]
_DEPTHS = (1, 3, 5)


def sequence_metrics(
    actual: Floats, labels: Floats, shares: Floats | None = None
) -> dict[str, Any]:
    """All metrics of ranked answers.

    Args:
        actual: float64[rows], what came next.
        labels: float64[rows, places], the most likely first; NaN where nothing is answered.
        shares: float64[rows, places], their probabilities, or None for a rule that only ranks.

    Returns:
        recall_1, recall_3 and recall_5: the share of rows whose label is among as many answers;
        mrr, the mean of 1 over its place, 0 where it is not answered (Voorhees 1999); log_loss in
        nats and calibration_error, of the first answer's probability, None for a rule.
    """
    is_hit = labels == actual[:, None]
    place = np.where(is_hit.any(axis=1), is_hit.argmax(axis=1) + 1.0, np.inf)
    found: dict[str, Any] = {f"recall_{depth}": float(np.mean(place <= depth)) for depth in _DEPTHS}
    found["mrr"] = float(np.mean(1 / place))
    found["log_loss"] = found["calibration_error"] = None
    if shares is not None:
        found["log_loss"] = float(row_losses(actual, labels, shares).mean())
        first = is_hit[:, 0].astype(np.float64)
        found["calibration_error"] = calibration_error(first, shares[:, 0])
    return found
