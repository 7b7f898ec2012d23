"""The deviance against integrals, scikit-learn, and what makes a loss proper."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from sklearn.metrics import mean_tweedie_deviance

from treehouse.fit.deviance import deviance_scale, deviances, mean_deviance

_SIGNED = np.array([-90.0, -3.0, -0.2, 0.0, 0.0, 0.4, 2.0, 55.0])


@pytest.mark.parametrize("actual", _SIGNED)
@pytest.mark.parametrize("predicted", [-40.0, -1.0, -1e-3, 0.0, 1e-3, 2.0, 80.0])
@pytest.mark.parametrize("scale", [0.05, 3.0])
def test_it_is_the_divergence_of_its_convex_function(
    actual: float, predicted: float, scale: float
) -> None:
    """From the prediction to the label, the integral of (label - x) times the second derivative."""
    expected, _ = quad(
        lambda x: (actual - x) * 2 * (scale + abs(x)) ** -1.3,
        predicted,
        actual,
        points=[0.0] if predicted * actual < 0 else None,
        limit=200,
    )
    found = deviances(np.array([actual]), np.array([predicted]), scale)
    assert found[0] == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_of_labels_above_zero_it_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    actual = rng.gamma(0.5, 4.0, 300) * (rng.random(300) < 0.3)
    predicted, weight = rng.gamma(1.0, 1.0, 300), rng.random(300)
    scale = deviance_scale(actual)
    assert scale == pytest.approx(actual.mean() / 100)
    expected = mean_tweedie_deviance(
        actual + scale, predicted + scale, power=1.3, sample_weight=weight
    )
    assert mean_deviance(actual, predicted, scale, weight) == pytest.approx(expected, rel=1e-12)
    # Labels of the other sign are their mirror image.
    assert deviance_scale(-actual) == scale
    assert mean_deviance(-actual, -predicted, scale, weight) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("shift", [0.0, 40.0, -40.0, 200.0, -200.0])
def test_the_mean_loses_least(factor: float, shift: float) -> None:
    """Of all constants, whatever the labels' signs and sizes are."""
    labels = factor * (_SIGNED + shift)
    scale = deviance_scale(labels)
    best = minimize_scalar(
        lambda x: mean_deviance(labels, np.full(len(labels), factor * x), scale),
        bounds=(-400, 400),
        options={"xatol": 1e-9},
    )
    assert factor * best.x == pytest.approx(labels.mean(), rel=1e-4)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_unit_changes_nothing_but_the_unit(factor: float) -> None:
    """It is in the label's units to the power of 0.7."""
    labels, answers = _SIGNED, _SIGNED[::-1] / 2
    scale = deviance_scale(labels)
    assert deviance_scale(factor * labels) == pytest.approx(factor * scale, rel=1e-12)
    np.testing.assert_allclose(
        deviances(factor * labels, factor * answers, factor * scale),
        factor**0.7 * deviances(labels, answers, scale),
        rtol=1e-9,
        atol=1e-12 * factor**0.7,
    )


def test_scale_by_hand() -> None:
    """Means above and below zero of 2 and 1: a hundredth of 3, and the lesser of both."""
    assert deviance_scale(np.array([8.0, 0.0, -4.0, 0.0])) == pytest.approx(0.03 + 1)
    assert deviance_scale(np.array([8.0, 0.0])) == pytest.approx(0.04)
    assert deviance_scale(np.zeros(3)) > 0
