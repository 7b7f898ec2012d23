"""The deviance: what a predicted mean loses against a label. One loss chooses, tunes and judges.

It is the Tweedie deviance (Jorgensen: Exponential dispersion models, 1987) of label and prediction,
both moved up by a scale, so that neither need be above 0. As the squared error it is least for the
mean, but one large payment does not decide it. The absolute error would reward a model that answers
zero for all, where most labels are zero. Below zero it is its mirror image: the Bregman divergence
of the convex function whose second derivative is 2 (scale + |x|)^-power, hence proper for labels of
either sign (Gneiting: Making and evaluating point forecasts, 2011).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TWEEDIE_POWER = 1.3
"""Between Poisson (1) and gamma (2); the objective of that name has it, too."""
_NEAR = 0.01
"""The scale of labels of one sign, as a share of their mean."""


def deviance_scale(labels: Floats) -> float:
    """Where the deviance turns from squares of differences to those of ratios.

    A hundredth of the mean |label|, for labels of one sign. Where both signs meet, also the mean of
    what lies on the rarer side of zero: there, small predictions are no more exact than others.

    Args:
        labels: float64[rows] of the training rows, in whose units the scale is; positive.
    """
    above, below = np.maximum(labels, 0.0).mean(), np.maximum(-labels, 0.0).mean()
    return float(_NEAR * (above + below) + min(above, below)) or 1.0


def deviances(actual: Floats, predicted: Floats, scale: float) -> Floats:
    """float64[rows], in the label's units to the power of 2 - TWEEDIE_POWER.

    Args:
        actual: float64[rows].
        predicted: float64[rows].
        scale: As of `deviance_scale`.
    """
    sign = np.where(predicted < 0, -1.0, 1.0)
    size = np.abs(predicted) + scale
    alike, opposite = np.maximum(sign * actual, 0.0), np.maximum(-sign * actual, 0.0)
    p = TWEEDIE_POWER
    return np.asarray(
        _tweedie(alike + scale, size)
        + _tweedie(opposite + scale, np.full(1, scale))
        + 2 * opposite * (scale ** (1 - p) - size ** (1 - p)) / (p - 1)
    )


def mean_deviance(
    actual: Floats, predicted: Floats, scale: float, weight: Floats | None = None
) -> float:
    """The mean of `deviances`, weighted by float64[rows] if given."""
    return float(np.average(deviances(actual, predicted, scale), weights=weight))


def _tweedie(actual: Floats, predicted: Floats) -> Floats:
    p = TWEEDIE_POWER
    mixed = actual * predicted ** (1 - p) / (p - 1) + predicted ** (2 - p) / (2 - p)
    return np.asarray(2 * (mixed - actual ** (2 - p) / ((p - 1) * (2 - p))))


def scale_sql(label: str, split: str = "split") -> str:
    """`deviance_scale` as SQL: a window over all rows of a training set."""
    above, below = (
        f"avgIf(greatest({sign}{label}, 0), {split} = 'train') over ()" for sign in ("", "-")
    )
    return f"({_NEAR} * ({above} + {below}) + least({above}, {below}))"


def deviance_sql(label: str, answer: str, scale: str) -> str:
    """`deviances` as SQL over a row."""
    sign = f"if({answer} < 0, -1, 1)"
    size = f"(abs({answer}) + {scale})"
    alike, opposite = (f"greatest({minus}{sign} * {label}, 0)" for minus in ("", "-"))
    p = TWEEDIE_POWER
    slope = f"(pow({scale}, {1 - p}) - pow({size}, {1 - p})) / {p - 1}"
    return (
        f"({_tweedie_sql(f'({alike} + {scale})', size)}"
        f" + {_tweedie_sql(f'({opposite} + {scale})', scale)}"
        f" + 2 * {opposite} * {slope})"
    )


def _tweedie_sql(actual: str, predicted: str) -> str:
    p = TWEEDIE_POWER
    mixed = f"{actual} * pow({predicted}, {1 - p}) / {p - 1} + pow({predicted}, {2 - p}) / {2 - p}"
    return f"2 * ({mixed} - pow({actual}, {2 - p}) / {(p - 1) * (2 - p)})"
