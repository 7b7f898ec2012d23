"""The deviance: what a predicted mean loses against a label. One loss chooses, tunes and judges.

It is the Tweedie deviance of power 1.5 (Jorgensen: Exponential dispersion models, 1987) of label
and prediction, both moved up by a scale, so that neither need be above 0. As the squared error it
is least for the mean, but one large payment does not decide it. The absolute error would reward a
model that answers zero for all, where most labels are zero. Below zero it is its mirror image: the
Bregman divergence of the convex function whose second derivative is 2 (scale + |x|)^-1.5, hence
proper for labels of either sign (Gneiting: Making and evaluating point forecasts, 2011).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
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
    """float64[rows], in square roots of the label's units.

    Args:
        actual: float64[rows].
        predicted: float64[rows].
        scale: As of `deviance_scale`.
    """
    sign = np.where(predicted < 0, -1.0, 1.0)
    size = np.abs(predicted) + scale
    alike, opposite = np.maximum(sign * actual, 0.0), np.maximum(-sign * actual, 0.0)
    return np.asarray(
        _tweedie(alike + scale, size)
        + _tweedie(opposite + scale, np.full(1, scale))
        + 4 * opposite * (1 / np.sqrt(scale) - 1 / np.sqrt(size))
    )


def mean_deviance(
    actual: Floats, predicted: Floats, scale: float, weight: Floats | None = None
) -> float:
    """The mean of `deviances`, weighted by float64[rows] if given."""
    return float(np.average(deviances(actual, predicted, scale), weights=weight))


def _tweedie(actual: Floats, predicted: Floats) -> Floats:
    root = np.sqrt(predicted)
    return np.asarray(4 * (np.sqrt(actual) - root) ** 2 / root)


def scale_sql(label: str) -> str:
    """`deviance_scale` as SQL: a window over all rows of a training set."""
    above, below = (
        f"avgIf(greatest({sign}{label}, 0), split = 'train') over ()" for sign in ("", "-")
    )
    return f"({_NEAR} * ({above} + {below}) + least({above}, {below}))"


def deviance_sql(label: str, answer: str, scale: str) -> str:
    """`deviances` as SQL over a row."""
    sign = f"if({answer} < 0, -1, 1)"
    size = f"(abs({answer}) + {scale})"
    alike, opposite = (f"greatest({minus}{sign} * {label}, 0)" for minus in ("", "-"))
    return (
        f"({_tweedie_sql(f'{alike} + {scale}', size)}"
        f" + {_tweedie_sql(f'{opposite} + {scale}', scale)}"
        f" + 4 * {opposite} * (1 / sqrt({scale}) - 1 / sqrt({size})))"
    )


def _tweedie_sql(actual: str, predicted: str) -> str:
    root = f"sqrt({predicted})"
    return f"4 * pow(sqrt({actual}) - {root}, 2) / {root}"
