"""From a classifier's answers to probabilities that hold, on rows that no tree has seen.

A probability takes a curve only where cross-validation over the calibration rows shows, beyond
chance, that it gains: a logistic curve over the log odds (Platt 1999); the beta family, which can
bend both ends apart (Kull, Silva Filho, Flach 2017); or isotonic regression (Zadrozny, Elkan 2002),
which needs the most rows. Classes take a temperature (Guo, Pleiss, Sun, Weinberger 2017) likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold

from treehouse.bundle import Expression, e, evaluate
from treehouse.fit.candidate import Candidate
from treehouse.fit.classification import SMALLEST_SHARE, log_odds
from treehouse.fit.dataset import Dataset

Floats = NDArray[np.float64]
_FOLDS = 5
LEAST_ENTROPY = 0.01
"""In nats: below, a row counts as no surer than this."""
Curve = Callable[[Expression, Expression], Expression]
"""A probability, over a candidate's own part and its log odds."""


@dataclass(frozen=True)
class _Rows:
    """What to calibrate on: parts, log odds, outcomes and weights, each float64[rows]."""

    part: Floats
    odds: Floats
    actual: Floats
    weight: Floats

    def take(self, rows: NDArray[np.int64]) -> _Rows:
        return _Rows(self.part[rows], self.odds[rows], self.actual[rows], self.weight[rows])

    def losses(self, curve: Curve) -> Floats:
        """float64[rows]: the log loss of each in nats."""
        expression = curve(e.feature("part"), e.feature("odds"))
        found = evaluate(expression, inputs={"part": self.part, "odds": self.odds})
        share = np.clip(found, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
        return np.asarray(-np.log(np.where(self.actual == 1, share, 1 - share)))


def calibrated_probability(
    candidate: Candidate, data: Dataset
) -> tuple[Expression, dict[str, float]]:
    """The probability, and each method's cross-validated log loss, the chosen one's first."""
    rows = data.rows("calibration")
    (part,), (odds,) = candidate.parts, log_odds(candidate)
    found = candidate.over({"part": part, "odds": odds}, data, rows)
    weight = np.ones(int(rows.sum())) if data.weight is None else data.weight[rows]
    given = _Rows(found["part"], found["odds"], data.label[rows], weight)
    untouched: Curve = lambda part, _: part if candidate.is_share else e.sigmoid(part)  # noqa: E731
    taken, losses = _taken(untouched, given)
    curve = _METHODS[taken][0](given) if taken in _METHODS else untouched
    means = {name: float(np.average(loss, weights=weight)) for name, loss in losses.items()}
    return curve(part, odds), {taken: means[taken]} | means


def _taken(untouched: Curve, given: _Rows) -> tuple[str, dict[str, Floats]]:
    """The method that is taken, and the log loss of each row by each, fitted on other rows.

    From the plainest on, a curve is taken where it gains more than the standard error of its gain
    (the rule of one standard error of Breiman, Friedman, Olshen, Stone: Classification and
    Regression Trees, 1984, section 3.4.3): few positives would often find one that fits them.
    """
    taken, losses = "none", {"none": given.losses(untouched)}
    rarer = int(min(given.actual.sum(), (1 - given.actual).sum()))
    for name, (method, fewest) in _METHODS.items():
        if rarer >= fewest:
            losses[name] = _cross_validated(method, given)
            if exceeds_error(losses[taken] - losses[name], given.weight):
                taken = name
    return taken, losses


def exceeds_error(gains: Floats, weight: Floats) -> bool:
    """Whether the mean gain of rows is more than its own standard error."""
    mean = float(np.average(gains, weights=weight))
    return mean > float(np.sqrt(np.sum((weight * (gains - mean)) ** 2))) / float(weight.sum())


def _cross_validated(method: Callable[[_Rows], Curve], given: _Rows) -> Floats:
    """float64[rows]: each row's log loss by a curve that was fitted on other rows."""
    found = np.empty(len(given.actual))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    for fit, test in folds.split(given.odds, given.actual):
        found[test] = given.take(test).losses(method(given.take(fit)))
    return found


def _platt(given: _Rows) -> Curve:
    (slope,), start = _logistic(given, given.odds)
    return lambda _, odds: e.sigmoid(slope * odds + start)


def _beta(given: _Rows) -> Curve:
    """Log odds of a ln p - b ln(1 - p) + c, where ln p = -ln(1 + exp(-odds))."""
    (a, b), start = _logistic(given, -np.log1p(np.exp(-given.odds)), np.log1p(np.exp(given.odds)))
    return lambda _, odds: e.sigmoid(b * e.log1p(e.exp(odds)) - a * e.log1p(e.exp(-odds)) + start)


def _logistic(given: _Rows, *columns: Floats) -> tuple[Floats, float]:
    found = LogisticRegression(C=np.inf, max_iter=1000).fit(
        np.column_stack(columns), given.actual, sample_weight=given.weight
    )
    return found.coef_[0], float(found.intercept_[0])


def _isotonic(given: _Rows) -> Curve:
    """Over the candidate's own part, exact to the bit: steep steps would magnify an ulp.

    No step reaches 0 or 1, which no number of rows can show (Laplace's rule of succession).
    """
    least = 1 / (len(given.part) + 2)
    found = IsotonicRegression(y_min=least, y_max=1 - least).fit(
        given.part, given.actual, sample_weight=given.weight
    )
    knots, values = found.X_thresholds_, found.y_thresholds_
    return lambda part, _: e.linear(part, knots, values)


_METHODS: dict[str, tuple[Callable[[_Rows], Curve], int]] = {
    "platt": (_platt, 25),
    "beta": (_beta, 25),
    "isotonic": (_isotonic, 250),
}
"""Each with the fewest calibration rows of the rarer outcome; with fewer it is not tried. Isotonic
regression overfits below about a thousand rows even of equal shares (Niculescu-Mizil, Caruana:
Predicting good probabilities with supervised learning, 2005, section 5)."""


def sharpness(logs: Floats, actual: Floats, weight: Floats | None = None) -> float:
    """What to multiply logs of shares by: the temperature's inverse, of the least log loss.

    Args:
        logs: float64[rows, classes], up to a constant.
        actual: float64[rows], numbers of classes.
        weight: float64[rows].
    """

    def loss(power: float) -> float:
        return float(np.average(_share_losses(np.exp(power) * logs, actual), weights=weight))

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def _share_losses(logs: Floats, actual: Floats) -> Floats:
    """float64[rows]: the log loss of each in nats, of logs of shares up to a constant."""
    number = actual.astype(int)[:, None]
    found: Floats = -np.take_along_axis(log_softmax(logs, axis=1), number, axis=1)[:, 0]
    return found


def entropies(logs: Floats) -> Floats:
    """float64[rows, 1]: of shares given by their logs up to a constant, in nats."""
    logs = log_softmax(logs, axis=1)
    found: Floats = -(np.exp(logs) * logs).sum(axis=1, keepdims=True)
    return np.maximum(found, LEAST_ENTROPY)


def sharpness_by_entropy(logs: Floats, actual: NDArray[np.int64]) -> tuple[float, float]:
    """Level and slope of the least log loss: logs times exp(level + slope * log(their entropy)).

    One temperature can't mend rows that are all but certain and rows that are open at once; one
    that goes by the entropy can (Balanya, Maronas, Ramos: Adaptive temperature scaling for robust
    calibration of deep neural networks, 2022).

    Args:
        logs: float64[rows, classes], up to a constant.
        actual: int64[rows], numbers of classes.
    """
    if not len(actual):
        return 0.0, 0.0
    disorder = np.log(entropies(logs))

    def loss(powers: Floats) -> float:
        shares = log_softmax(np.exp(powers[0] + powers[1] * disorder) * logs, axis=1)
        return -float(np.take_along_axis(shares, actual[:, None], axis=1).mean())

    found = minimize(loss, [0.0, 0.0], method="L-BFGS-B", bounds=[(-3, 3), (-1, 1)]).x
    return float(found[0]), float(found[1])


def calibrated_shares(candidate: Candidate, data: Dataset) -> tuple[tuple[Expression, ...], float]:
    """Logs of the classes' shares up to a constant, and the temperature's inverse.

    The latter is 1 unless its gain is beyond chance, as a curve's must be.
    """
    rows = data.rows("calibration")
    logs = log_odds(candidate)
    heads = {str(i): log for i, log in enumerate(logs)}
    found = np.column_stack([*candidate.over(heads, data, rows).values()])
    weight = np.ones(len(found)) if data.weight is None else data.weight[rows]
    actual = data.label[rows]
    factor = sharpness(found, actual, weight)
    told = np.empty(len(found))
    for fit, test in KFold(_FOLDS, shuffle=True, random_state=0).split(found):
        told[test] = _share_losses(
            sharpness(found[fit], actual[fit], weight[fit]) * found[test], actual[test]
        )
    if not exceeds_error(_share_losses(found, actual) - told, weight):
        factor = 1.0
    return tuple(factor * log for log in logs), factor
