"""Candidates for what comes next in a sequence: a Markov chain, and a recurrent network.

Both are networks of the bundle that answer the most likely labels by number, next_1 and so on, and
their probabilities, share_1 and so on. A label is a whole number below 2^53; as a string, it is the
token that stands for it in the sequence `recent`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import log_softmax

from training.errors import TreehouseError
from training.fit.calibration import sharpness
from training.fit.candidate import Candidate, Rows
from training.fit.dataset import Dataset
from training.fit.job import Listener
from training.network import NetworkInputs, Tokens, fit_vocabulary, from_table, rows_of
from training.spec import Spec
from udfs.network.inputs import FIRST_TOKEN

if TYPE_CHECKING:
    from training.network import Network

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
OBJECTIVES = {"log_loss": ("markov", "lstm")}
SEQUENCE, GAPS = "recent", "gaps"
"""The features that hold the tokens, the latest last, and a number for each of them."""
LEAST_SHARE = 1e-3
"""What a label counts that is not among the answers: see training/lifecycle/losses.py."""
_PRIOR_ROWS = 2.0
"""How many rows the lower order counts in each row of the Markov chain's table: smoothing with a
Dirichlet prior (MacKay, Peto 1995)."""


@dataclass(frozen=True)
class Vocabulary:
    """The labels that a candidate knows, the most frequent first.

    Attributes:
        labels: float64[at least the number of answers]; 0 fills up where there are fewer.
        names: The same as tokens, without what fills up.
    """

    labels: Floats
    names: tuple[str, ...]

    def positions(self, label: Floats) -> Codes:
        """int64[rows]: the place of each label, -1 for one that is not known."""
        known = self.labels[: len(self.names)]
        order = np.argsort(known)
        found = order[np.searchsorted(known, label, sorter=order).clip(max=len(known) - 1)]
        return np.where(known[found] == label, found, -1)


def fit(spec: Spec, data: Dataset, trainer: str, _: str, listener: Listener) -> Candidate:
    """One candidate, with the temperature of the calibration rows (Guo, Pleiss, Sun, Weinberger
    2017).

    Raises:
        TreehouseError: The contract has no sequence, or PyTorch is missing.
    """
    if SEQUENCE not in data.contract.of_kind("tokens"):
        raise TreehouseError(
            f"{spec.use_case} has no sequence to learn from.",
            expected=f"a feature {SEQUENCE} of the type Array(String)",
            fix=f"mend models/{spec.use_case}/{spec.use_case}.yml",
        )
    vocabulary = _vocabulary(spec, data)
    if trainer == "markov":
        network, reference = _markov(spec, data, vocabulary)
    else:
        from training.fit.recurrent import fit_recurrent

        network, reference = fit_recurrent(spec, data, vocabulary, listener)
    return Candidate(f"{trainer} log_loss", (), (), {}, networks=(network,), reference=reference)


def loss(spec: Spec, candidate: Candidate, data: Dataset, rows: Rows) -> float:
    """Mean of -log of the probability that was answered for the label, in nats."""
    answers = candidate.network_outputs(data, rows)
    labels, shares = ranked(answers, spec.places)
    return float(row_losses(data.label[rows], labels, shares).mean())


def ranked(answers: dict[str, Floats], places: int) -> tuple[Floats, Floats]:
    """float64[rows, places] twice: the labels, the most likely first, and their probabilities."""
    return (
        np.column_stack([answers[f"next_{i + 1}"] for i in range(places)]),
        np.column_stack([answers[f"share_{i + 1}"] for i in range(places)]),
    )


def row_losses(actual: Floats, labels: Floats, shares: Floats) -> Floats:
    """float64[rows]: -log of the label's share, at least LEAST_SHARE."""
    share = (shares * (labels == actual[:, None])).sum(axis=1)
    found: Floats = -np.log(np.maximum(share, LEAST_SHARE))
    return found


def output_names(spec: Spec) -> tuple[str, ...]:
    """What the network answers, in order."""
    places = range(1, spec.places + 1)
    return (*(f"next_{i}" for i in places), *(f"share_{i}" for i in places))


def temperature(logs: Floats, label: Floats, vocabulary: Vocabulary) -> float:
    """What to multiply the logs by on rows that were not fitted; 1 where no label is known."""
    at = vocabulary.positions(label)
    known = at >= 0
    return sharpness(logs[known], at[known].astype(np.float64)) if known.any() else 1.0


def _vocabulary(spec: Spec, data: Dataset) -> Vocabulary:
    """The labels of the training rows, as many as the spec allows."""
    train = data.label[data.rows("train")].astype(np.int64)
    names = fit_vocabulary(pa.array(train).cast(pa.string()), spec.recurrent.vocabulary)
    labels = np.zeros(max(len(names), spec.places))
    labels[: len(names)] = np.array(names, np.float64)
    return Vocabulary(labels, names)


def _markov(
    spec: Spec, data: Dataset, vocabulary: Vocabulary
) -> tuple[Network, Callable[[pa.RecordBatch], Floats]]:
    """What followed each two tokens in the training rows, smoothed towards what followed the last
    of them, and that towards the popularity."""
    inputs = NetworkInputs(tokens={SEQUENCE: Tokens(vocabulary.names, 2)})

    def codes(batch: pa.RecordBatch) -> Codes:
        """int64[rows, 2]: the last token but one, and the last."""
        found: Codes = inputs.arrays(rows_of(batch, data.contract), [SEQUENCE])[SEQUENCE]
        return found

    train = data.rows("train")
    label = vocabulary.positions(data.label[train])
    before, label = codes(data.batch(train))[label >= 0], label[label >= 0]
    tokens = FIRST_TOKEN + len(vocabulary.names)
    labels = len(vocabulary.labels)
    popularity = np.bincount(label, minlength=labels) / len(label)
    # Nothing known, or something rare, came last: what is asked at all.
    is_token = before[:, 1] >= FIRST_TOKEN
    after_one = _followers(before[is_token, 1], label[is_token], np.tile(popularity, (tokens, 1)))
    known, pair = np.unique(before[is_token], axis=0, return_inverse=True)
    after_two = _followers(pair.ravel(), label[is_token], after_one[known[:, 1]])
    pairs = np.tile(np.arange(tokens), (tokens, 1))
    pairs[known[:, 0], known[:, 1]] = tokens + np.arange(len(known))
    logs = np.log(np.maximum(np.vstack([after_one, after_two]), np.finfo(np.float32).tiny))

    def row(batch: pa.RecordBatch) -> Codes:
        found: Codes = pairs[tuple(codes(batch).T)]
        return found

    kept = data.rows("calibration")
    logs *= temperature(logs[row(data.batch(kept))], data.label[kept], vocabulary)
    answers = _most_likely(spec, logs, vocabulary)
    network = from_table(inputs, SEQUENCE, answers, output_names(spec), pairs)
    return network, lambda batch: answers[row(batch)]


def _followers(row: Codes, label: Codes, prior: Floats) -> Floats:
    """float64[rows, labels]: shares of the labels that came in each row, and of its prior."""
    counts = np.zeros(prior.shape)
    np.add.at(counts, (row, label), 1.0)
    found: Floats = (counts + _PRIOR_ROWS * prior) / (
        counts.sum(axis=1, keepdims=True) + _PRIOR_ROWS
    )
    return found


def _most_likely(spec: Spec, logs: Floats, vocabulary: Vocabulary) -> Floats:
    """float64[rows, 2 * places]: labels, then shares."""
    shares = np.exp(log_softmax(logs, axis=1))
    best = np.argsort(-shares, axis=1, kind="stable")[:, : spec.places]
    return np.hstack([vocabulary.labels[best], np.take_along_axis(shares, best, axis=1)])
