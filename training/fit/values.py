"""Candidates for a value: each objective is one or two models and a formula.

The labels of value models are mostly zero with a heavy tail. Four ways to expect their mean:
squared error; Tweedie deviance, whose compound Poisson-gamma has a mass at zero (Joergensen 1987);
two parts, the probability of any value times its mean where there is some (a hurdle model, Cragg
1971, in the spirit of ZILN, Wang, Liu, Miao 2019); and Tweedie with the log of a naive forecast as
offset, as an exposure in an actuary's rate model: trees alone can't extrapolate to new whales.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_tweedie_deviance

from training.bundle import Expression, e
from training.fit import trainers
from training.fit.candidate import Candidate, Rows
from training.fit.dataset import Dataset
from training.fit.job import TWEEDIE_POWER, Job, Listener, Watch
from training.spec import Spec

Floats = NDArray[np.float64]
OBJECTIVES = {
    "squared_error": trainers.TRAINERS,
    "tweedie": trainers.BOOSTED,
    "two_part": trainers.BOOSTED,
    "paced_tweedie": trainers.BOOSTED,
}
"""Each with the trainers that have it."""


def loss(_: Spec, candidate: Candidate, data: Dataset, rows: Rows) -> float:
    """The Tweedie deviance of a candidate on some rows."""
    weight = None if data.weight is None else data.weight[rows]
    return deviance(data.label[rows], candidate.predict(data, rows)[:, 0], weight)


def deviance(actual: Floats, predicted: Floats, weight: Floats | None = None) -> float:
    """The Tweedie deviance: proper for the mean and, unlike squared error, not ruled by whales.

    Predictions are floored at a hundredth of the mean label, for which it stays finite.

    Args:
        actual: float64[rows].
        predicted: float64[rows].
        weight: float64[rows].
    """
    actual = np.maximum(actual, 0.0)
    floor = max(float(actual.mean()), 1e-9) / 100
    return float(
        mean_tweedie_deviance(
            actual, np.maximum(predicted, floor), sample_weight=weight, power=TWEEDIE_POWER
        )
    )


def fit(spec: Spec, data: Dataset, trainer: str, objective: str, listener: Listener) -> Candidate:
    """One objective, fitted by one trainer."""
    if objective == "two_part":
        models, rest = _two_part(spec, data, trainer, listener)
    else:
        models, rest = _one_part(spec, data, trainer, objective, listener)
    # A value is a product of exponentials of the margins, or a single margin.
    explained = {(forest, 0): 1.0 for forest in range(len(models))}
    raw = Candidate(f"{trainer} {objective}", models, (rest,), explained)
    return _calibrated(spec, data, raw)


def _one_part(
    spec: Spec, data: Dataset, trainer: str, objective: str, listener: Listener
) -> tuple[tuple[object, ...], Expression]:
    """Squared error, Tweedie, or Tweedie times a base that starts at the pace."""
    target = target_of(spec, data)
    base: Expression | None = None
    offset = None
    if objective != "squared_error":
        target = np.maximum(target, 0.0)
    if objective == "paced_tweedie":
        start = float(target[data.rows("train")].mean())
        pace = np.nan_to_num(data.column(spec.pace), nan=0.0)
        offset = np.log(start + np.maximum(pace, 0.0))
        base = start + e.clip(e.if_nan(e.feature(spec.pace), 0.0), 0.0, None)
    job = Job(
        trainer,
        objective.removeprefix("paced_"),
        target,
        offset=offset,
        watch=_watch(spec, data, listener),
    )
    model = trainers.fit(spec, data, job, listener.progress)
    rest = trainers.answer(job)
    return (model,), rest if base is None else base * rest


def _watch(spec: Spec, data: Dataset, listener: Listener) -> Watch | None:
    """The loss of a single model's outputs on the validation rows, as fitting goes on."""
    heard = listener.loss
    if heard is None:
        return None
    rows = data.rows("validation")
    known = data.column(spec.known)[rows] if spec.known else 0.0
    least = -np.inf if spec.label_floor is None else spec.label_floor
    weight = None if data.weight is None else data.weight[rows]

    def watch(tree: int, outputs: Floats) -> None:
        predicted = np.maximum(known + outputs, least)
        heard(tree, deviance(data.label[rows], predicted, weight))

    return watch


def _two_part(
    spec: Spec, data: Dataset, trainer: str, listener: Listener
) -> tuple[tuple[object, ...], Expression]:
    target = np.maximum(target_of(spec, data), 0.0)
    is_any = Job(trainer, "binary", (target > 0).astype(np.float64))
    amount = Job(trainer, "gamma", target, only=target > 0)
    models = tuple(trainers.fit(spec, data, job, listener.progress) for job in (is_any, amount))
    return models, trainers.answer(is_any, 0) * trainers.answer(amount, 1)


def target_of(spec: Spec, data: Dataset) -> Floats:
    """What is left to predict: the label less the part that has already come."""
    return data.label - data.column(spec.known) if spec.known else data.label


def _calibrated(spec: Spec, data: Dataset, raw: Candidate) -> Candidate:
    """The candidate whose rest adds up to the labels' on the rows that were not fitted.

    Boosting under a log link that stops early predicts too little in sum.
    """
    rows = data.rows("validation", "calibration")
    factor = calibration_factor(target_of(spec, data)[rows], raw.predict(data, rows)[:, 0])
    return raw.answering(_answer(spec, factor * raw.parts[0]))


def calibration_factor(actual: Floats, predicted: Floats) -> float:
    """What to multiply predictions by so that their sum is right, shrunk by how sure that is.

    The ratio of the sums, less 1, is shrunk by 1 - (standard error / it)^2, at least 0: the
    positive-part James-Stein estimator (Efron, Morris 1973) with 1 as the point to shrink to.

    Args:
        actual: float64[rows].
        predicted: float64[rows], of a positive sum.
    """
    total = float(predicted.sum())
    if total <= 0:
        return 1.0
    excess = float(actual.sum()) / total - 1
    error = float(np.std(actual - (1 + excess) * predicted)) * np.sqrt(len(actual)) / total
    if excess == 0:
        return 1.0
    return float(1 + excess * max(0.0, 1 - (error / excess) ** 2))


def _answer(spec: Spec, rest: Expression) -> Expression:
    value = e.feature(spec.known) + rest if spec.known else rest
    return value if spec.label_floor is None else e.clip(value, spec.label_floor, None)
