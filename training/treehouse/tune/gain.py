"""What tuning gained on the holdout, which no trial has seen, with an interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from treehouse.fit.candidate import Candidate
from treehouse.fit.candidates import choose, fit_candidates
from treehouse.fit.classification import SMALLEST_SHARE
from treehouse.fit.dataset import Dataset
from treehouse.fit.deviance import deviances
from treehouse.fit.heads import make_heads
from treehouse.fit.sequences import ranked, row_losses
from treehouse.spec import Spec

Floats = NDArray[np.float64]
_RESAMPLES = 2000
_CONFIDENCE = 0.95


def gain(spec: Spec, tuned: Spec, data: Dataset) -> dict[str, dict[str, float]]:
    """Each loss of the spec's own model and of the tuned one on the test rows.

    Returns:
        Loss to default and tuned (means over the rows), gain (the first less the second: above 0
        the tuned one is better), and low and high: its interval at 95 %, by the percentile
        bootstrap over rows (Efron 1979), paired, as both answer the same rows.
    """
    losses = [_row_losses(given, data) for given in (spec, tuned)]
    found = {}
    for name in losses[0]:
        ours, theirs = (each[name] for each in losses)
        low, high = _interval(ours - theirs)
        found[name] = {
            "default": float(ours.mean()),
            "tuned": float(theirs.mean()),
            "gain": float((ours - theirs).mean()),
            "low": low,
            "high": high,
        }
    return found


def _interval(difference: Floats) -> tuple[float, float]:
    if not np.ptp(difference):
        return float(difference[0]), float(difference[0])
    found = bootstrap(
        (difference,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=50,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    return float(found.low), float(found.high)


def _row_losses(spec: Spec, data: Dataset) -> dict[str, Floats]:
    """float64[rows] of the test for each loss, by the best candidate of a spec."""
    chosen, _ = choose(spec, fit_candidates(spec, data), data)
    heads, _ = make_heads(spec, data, chosen)
    test = data.rows("test")
    return _LOSSES[spec.task](spec, data, data.label[test], _answers(chosen, heads, data))


def _answers(chosen: Candidate, heads: Any, data: Dataset) -> dict[str, Floats]:
    test = data.rows("test")
    return chosen.answers(heads, data.matrix[test], data.names, data.batch(test))


def _value_losses(
    _: Spec, data: Dataset, actual: Floats, answers: dict[str, Floats]
) -> dict[str, Floats]:
    value = answers["value"]
    return {
        "deviance": deviances(actual, value, data.scale),
        "absolute error of typical": np.abs(answers["typical"] - actual),
        "squared error of value": (value - actual) ** 2,
    }


def _probability_losses(
    _: Spec, __: Dataset, actual: Floats, answers: dict[str, Floats]
) -> dict[str, Floats]:
    value = np.clip(answers["value"], SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    return {
        "log loss": -np.log(np.where(actual == 1, value, 1 - value)),
        "Brier": (value - actual) ** 2,
    }


def _class_losses(
    spec: Spec, _: Dataset, actual: Floats, answers: dict[str, Floats]
) -> dict[str, Floats]:
    number = actual.astype(int)
    shares = np.column_stack([answers[name] for name in spec.classes])
    share = np.maximum(shares[np.arange(len(number)), number], SMALLEST_SHARE)
    decided = answers["value"].astype(int)
    return {"log loss": -np.log(share), "cost": np.asarray(spec.costs)[number, decided]}


def _sequence_losses(
    spec: Spec, _: Dataset, actual: Floats, answers: dict[str, Floats]
) -> dict[str, Floats]:
    labels, shares = ranked(answers, spec.places)
    misses = (labels != actual[:, None]).all(axis=1)
    return {"log loss": row_losses(actual, labels, shares), "miss": misses.astype(np.float64)}


_LOSSES = {
    "value": _value_losses,
    "probability": _probability_losses,
    "classes": _class_losses,
    "sequence": _sequence_losses,
}
