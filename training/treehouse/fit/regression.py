"""Candidates for a value: each objective is one or two models and a formula.

The labels of value models are mostly zero with a heavy tail. Four ways to expect their mean:
squared error; Tweedie deviance, whose compound Poisson-gamma has a mass at zero (Joergensen 1987);
two parts, the probability of any value times its mean where there is some (a hurdle model, Cragg
1971, in the spirit of ZILN, Wang, Liu, Miao 2019); and Tweedie with the log of a naive forecast as
offset, as an exposure in an actuary's rate model: trees alone can't extrapolate to new whales.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle import Expression, e
from treehouse.fit import trainers
from treehouse.fit.candidate import Candidate, Rows
from treehouse.fit.dataset import Dataset
from treehouse.fit.deviance import mean_deviance
from treehouse.fit.job import Job, Listener, Watch
from treehouse.spec import Spec

Floats = NDArray[np.float64]
OBJECTIVES = {
    "squared_error": trainers.TRAINERS,
    "tweedie": trainers.BOOSTED,
    "two_part": trainers.BOOSTED,
    "paced_tweedie": trainers.BOOSTED,
}
"""Each with the trainers that have it."""
_ONE_SIGN = 0.9
"""Least share of the sum of all |prediction| that their sum has where one sign prevails."""


def loss(_: Spec, candidate: Candidate, data: Dataset, rows: Rows) -> float:
    """The mean deviance of a candidate on some rows."""
    weight = None if data.weight is None else data.weight[rows]
    return mean_deviance(data.label[rows], candidate.predict(data, rows)[:, 0], data.scale, weight)


def fit(spec: Spec, data: Dataset, trainer: str, objective: str, listener: Listener) -> Candidate:
    """One objective, fitted by one trainer."""
    if objective == "two_part":
        jobs, models, rest = _two_part(spec, data, trainer, listener)
    else:
        jobs, models, rest = _one_part(spec, data, trainer, objective, listener)
    # A value is a product of exponentials of the margins, or a single margin.
    share = unit_of(spec, data) if objective == "squared_error" else 1.0
    explained = {(forest, 0): share for forest in range(len(models))}
    raw = Candidate(f"{trainer} {objective}", models, (rest,), explained, jobs=jobs)
    return calibrated(spec, data, replace(raw, uncalibrated=raw.parts))


def _one_part(
    spec: Spec, data: Dataset, trainer: str, objective: str, listener: Listener
) -> tuple[tuple[Job, ...], tuple[object, ...], Expression]:
    """Squared error, Tweedie, or Tweedie times a base that starts at the pace."""
    unit = unit_of(spec, data)
    target = target_of(spec, data) / unit
    base: Expression | None = None
    offset = None
    if objective != "squared_error":
        target = np.maximum(target, 0.0)
    if objective == "paced_tweedie":
        start = float(target[data.rows("train")].mean()) or 1.0
        pace = np.nan_to_num(data.column(spec.pace), nan=0.0) / unit
        offset = np.log(start + np.maximum(pace, 0.0))
        base = start + e.clip(e.if_nan(e.feature(spec.pace), 0.0), 0.0, None) / unit
    job = Job(
        trainer,
        objective.removeprefix("paced_"),
        target,
        offset=offset,
        watch=_watch(spec, data, listener, unit),
    )
    model = trainers.fit(spec, data, job, listener.progress)
    rest = trainers.answer(job)
    return (job,), (model,), rest if base is None else base * rest


def _watch(spec: Spec, data: Dataset, listener: Listener, unit: float) -> Watch | None:
    """The loss of a single model's outputs on the validation rows, as fitting goes on."""
    heard = listener.loss
    if heard is None:
        return None
    rows = data.rows("validation")
    known = data.column(spec.known)[rows] if spec.known else 0.0
    least = -np.inf if spec.label_floor is None else spec.label_floor
    weight = None if data.weight is None else data.weight[rows]
    scale = data.scale

    def watch(tree: int, outputs: Floats) -> None:
        predicted = np.maximum(known + unit * outputs, least)
        heard(tree, mean_deviance(data.label[rows], predicted, scale, weight))

    return watch


def _two_part(
    spec: Spec, data: Dataset, trainer: str, listener: Listener
) -> tuple[tuple[Job, ...], tuple[object, ...], Expression]:
    """Whether there is any, times how much; where all training rows have some, only the latter."""
    target = np.maximum(target_of(spec, data) / unit_of(spec, data), 0.0)
    is_any = Job(trainer, "binary", (target > 0).astype(np.float64))
    amount = Job(trainer, "gamma", target, only=target > 0)
    has_all = bool(is_any.target[data.rows("train")].all())
    jobs = (amount,) if has_all else (is_any, amount)
    models = tuple(trainers.fit(spec, data, job, listener.progress) for job in jobs)
    if has_all:
        return jobs, models, trainers.answer(amount)
    return jobs, models, trainers.answer(is_any, 0) * trainers.answer(amount, 1)


def target_of(spec: Spec, data: Dataset) -> Floats:
    """What is left to predict: the label less the part that has already come."""
    return data.label - data.column(spec.known) if spec.known else data.label


def unit_of(spec: Spec, data: Dataset) -> float:
    """The unit in which the target is fitted: the power of 1024 nearest to its mean size.

    Libraries keep labels in float32, and split no leaf whose gain or second derivatives are below
    bounds of their own, 1e-6 or 1e-3: labels of 1e-6 would not be fitted at all.
    """
    size = float(np.abs(target_of(spec, data)[data.rows("train")]).mean())
    return 1024.0 ** round(math.log(size, 1024)) if size else 1.0


def calibrated(spec: Spec, data: Dataset, raw: Candidate) -> Candidate:
    """The candidate whose rest adds up to the labels' on the rows that were not fitted.

    Boosting under a log link that stops early predicts too little in sum.
    """
    rows, unit = data.rows("validation", "calibration"), unit_of(spec, data)
    factor = calibration_factor(target_of(spec, data)[rows] / unit, raw.predict(data, rows)[:, 0])
    return raw.answering(_answer(spec, (factor * unit) * raw.parts[0]))


def calibration_factor(actual: Floats, predicted: Floats) -> float:
    """What to multiply predictions by so that their sum is right, shrunk by how sure that is.

    The ratio of the sums, less 1, is shrunk by 1 - (standard error / it)^2, at least 0: the
    positive-part James-Stein estimator (Efron, Morris 1973) with 1 as the point to shrink to.

    Args:
        actual: float64[rows].
        predicted: float64[rows]. Where both signs meet, no factor puts a sum right: then 1.
    """
    total = float(predicted.sum())
    if not abs(total) > _ONE_SIGN * float(np.abs(predicted).sum()):
        return 1.0
    excess = float(actual.sum()) / total - 1
    error = float(np.std(actual - (1 + excess) * predicted)) * np.sqrt(len(actual)) / abs(total)
    if excess == 0:
        return 1.0
    return float(1 + excess * max(0.0, 1 - (error / excess) ** 2))


def _answer(spec: Spec, rest: Expression) -> Expression:
    value = e.feature(spec.known) + rest if spec.known else rest
    return value if spec.label_floor is None else e.clip(value, spec.label_floor, None)
