"""Candidates for a probability, or for one of several classes: log loss, by every trainer.

Boosters answer log odds, exact to the bit; forests answer the share of each class.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from treehouse.bundle import Expression, e
from treehouse.fit import trainers
from treehouse.fit.candidate import Candidate, Rows
from treehouse.fit.dataset import Dataset
from treehouse.fit.job import Job, Listener, Watch
from treehouse.spec import Spec

Floats = NDArray[np.float64]
OBJECTIVES = {"log_loss": trainers.TRAINERS}
SMALLEST_SHARE = 1e-6
"""A forest that has not seen a class in a leaf does not know that it never comes."""


def fit(spec: Spec, data: Dataset, trainer: str, _: str, listener: Listener) -> Candidate:
    """One classifier, by one trainer."""
    is_binary = spec.task == "probability"
    is_share = trainer in trainers.BAGGED
    job = Job(
        trainer,
        "binary" if is_binary else "classes",
        data.label,
        watch=_watch(data, listener),
    )
    model = trainers.fit(spec, data, job, listener.progress)
    ask = e.out if is_share else e.margin
    outputs = (int(is_share),) if is_binary else range(len(spec.classes))
    return Candidate(
        f"{trainer} log_loss",
        (model,),
        tuple(ask(0, output) for output in outputs),
        {(0, outputs[0]): 1.0},
        is_share,
        jobs=(job,),
    )


def loss(_: Spec, candidate: Candidate, data: Dataset, rows: Rows) -> float:
    """The log loss of a candidate on some rows, in nats."""
    heads = {str(i): share for i, share in enumerate(raw_shares(candidate))}
    answers = candidate.answers(heads, data.matrix[rows], data.names)
    weight = None if data.weight is None else data.weight[rows]
    return mean_log_loss(data.label[rows], np.column_stack([*answers.values()]), weight)


def mean_log_loss(actual: Floats, shares: Floats, weight: Floats | None = None) -> float:
    """The log loss in nats, of shares that are kept off 0 and 1.

    Args:
        actual: float64[rows], numbers of classes.
        shares: float64[rows] of class 1, or float64[rows, classes].
        weight: float64[rows].
    """
    shares = np.clip(shares.reshape(len(actual), -1), SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    if shares.shape[1] == 1:
        shares = np.hstack([1 - shares, shares])
    shares = shares / shares.sum(axis=1, keepdims=True)
    return float(log_loss(actual, shares, labels=range(shares.shape[1]), sample_weight=weight))


def log_odds(candidate: Candidate) -> tuple[Expression, ...]:
    """The parts of a classifier as log odds; of classes, as logs of their shares."""
    if not candidate.is_share:
        return candidate.parts
    clipped = [e.clip(part, SMALLEST_SHARE, 1 - SMALLEST_SHARE) for part in candidate.parts]
    logs = tuple(e.log1p(share - 1.0) for share in clipped)
    return logs if len(logs) > 1 else (logs[0] - e.log1p(-clipped[0]),)


def raw_shares(candidate: Candidate) -> tuple[Expression, ...]:
    """The share of class 1, or of each class, before calibration."""
    if candidate.is_share:
        return candidate.parts
    if len(candidate.parts) == 1:
        return (e.sigmoid(candidate.parts[0]),)
    return softmax(candidate.parts)


def softmax(logs: Sequence[Expression]) -> tuple[Expression, ...]:
    """exp(x) over the sum of all exp(x), from the largest x down so that none overflows."""
    sizes = relative_sizes(logs)
    total = reduce(operator.add, sizes)
    return tuple(size / total for size in sizes)


def relative_sizes(logs: Sequence[Expression]) -> tuple[Expression, ...]:
    """exp(x) over the largest exp(x)."""
    largest = reduce(e.maximum, logs)
    return tuple(e.exp(log - largest) for log in logs)


def _watch(data: Dataset, listener: Listener) -> Watch | None:
    heard = listener.loss
    if heard is None:
        return None
    rows = data.rows("validation")
    weight = None if data.weight is None else data.weight[rows]
    return lambda tree, shares: heard(tree, mean_log_loss(data.label[rows], shares, weight))
