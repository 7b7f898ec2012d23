"""Candidates for what comes next in a sequence: a Markov chain, and a network that goes on from it.

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

from treehouse.fit.calibration import entropies, sharpness_by_entropy
from treehouse.fit.candidate import Candidate, Rows
from treehouse.fit.dataset import Dataset
from treehouse.fit.job import Listener
from treehouse.fit.markov import Chain, Look, fit_chain
from treehouse.network import NetworkInputs, Tokens, fit_vocabulary, from_table, rows_of
from treehouse.project.errors import TreehouseError
from treehouse.spec import Spec
from udfs.network.inputs import FIRST_TOKEN

if TYPE_CHECKING:
    from treehouse.network import Network

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
OBJECTIVES = {"log_loss": ("markov", "lstm")}
SEQUENCE, GAPS = "recent", "gaps"
"""The features that hold the tokens, the latest last, and a number for each of them."""
LEAST_SHARE = 1e-3
"""What a label counts that is not among the answers: see training/treehouse/registry/losses.py."""
_ONCE = 0.5
"""The most that a label counts that came once in the training rows: see _vocabulary()."""


@dataclass(frozen=True)
class Vocabulary:
    """The labels that a candidate answers, the most frequent first.

    Attributes:
        labels: float64[at least the number of answers]; 0 fills up where there are fewer.
        names: The same as tokens, without what fills up.
        certain: float64[1 + labels]: what a training row counts for its label; the rest counts for
            the last column, which stands for what is new.
    """

    labels: Floats
    names: tuple[str, ...]
    certain: Floats

    def numbers(self, label: Floats) -> Codes:
        """int64[rows]: the place of each label; len(labels) for any that is not known."""
        known = self.labels[: len(self.names)]
        order = np.argsort(known)
        found = order[np.searchsorted(known, label, sorter=order).clip(max=len(known) - 1)]
        return np.where(known[found] == label, found, len(self.labels))

    @property
    def prior(self) -> Floats:
        """float64[1 + labels]: equal shares of all that there is, 0 of what fills up."""
        is_there = np.arange(len(self.labels) + 1) < len(self.names)
        is_there[-1] = True
        found: Floats = is_there / is_there.sum()
        return found


def fit(spec: Spec, data: Dataset, trainer: str, _: str, listener: Listener) -> Candidate:
    """One candidate, calibrated on the rows kept for it.

    Raises:
        TreehouseError: The contract has no sequence, or PyTorch is missing.
    """
    _check(spec, data)
    vocabulary = _vocabulary(spec, data)
    chain = _chain(spec, data, vocabulary)
    if trainer == "markov":
        network, reference = _markov(spec, data, vocabulary, chain)
    else:
        from treehouse.fit.lstm import fit_recurrent

        network, reference = fit_recurrent(spec, data, vocabulary, chain, listener)
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


def _check(spec: Spec, data: Dataset) -> None:
    contract, chain = data.contract, spec.chain
    if SEQUENCE not in contract.of_kind("tokens"):
        raise TreehouseError(
            f"{spec.use_case} has no sequence to learn from.",
            expected=f"a feature {SEQUENCE} of the type Array(String)",
            fix=f"mend models/{spec.use_case}/{spec.use_case}.yml",
        )
    if chain.order < 1:
        raise TreehouseError(
            f"The chain of {spec.use_case} goes by no token.",
            value=chain.order,
            expected="an order of 1 or more",
            fix=f"mend `chain` in training/specs/{spec.use_case}.py",
        )
    if unknown := [name for name in chain.within if name not in contract.of_kind("categorical")]:
        raise TreehouseError(
            f"The chain of {spec.use_case} is to go by what is no category.",
            value=", ".join(unknown),
            expected="some of: " + (", ".join(contract.of_kind("categorical")) or "there is none"),
            fix=f"mend `chain` in training/specs/{spec.use_case}.py",
        )


def _vocabulary(spec: Spec, data: Dataset) -> Vocabulary:
    """The labels of the training rows, as many as the spec allows.

    As many rows will bring something new as brought what came only once, which therefore counts
    less: 2 N2 / N1, where N1 labels came once and N2 twice (Good: The population frequencies of
    species, 1953).
    """
    label = data.label[data.rows("train")]
    names = fit_vocabulary(
        pa.array(label.astype(np.int64)).cast(pa.string()), spec.chain.vocabulary
    )
    labels = np.zeros(max(len(names), spec.places))
    labels[: len(names)] = np.array(names, np.float64)
    found = Vocabulary(labels, names, np.ones(len(labels) + 1))
    times = np.bincount(found.numbers(label), minlength=len(labels) + 1)[:-1]
    once, twice = np.sum(times == 1), np.sum(times == 2)
    found.certain[:-1][times == 1] = min(_ONCE, 2 * twice / max(once, 1))
    return found


def _chain_inputs(spec: Spec, data: Dataset, vocabulary: Vocabulary) -> NetworkInputs:
    tokens = {SEQUENCE: Tokens(vocabulary.names, spec.chain.order)}
    return NetworkInputs(categorical=data.categories, tokens=tokens)


def _chain(spec: Spec, data: Dataset, vocabulary: Vocabulary) -> Chain:
    """Popularity, that within the categories, and what followed the latest tokens there."""
    inputs, train = _chain_inputs(spec, data, vocabulary), data.rows("train")
    looks = [
        Look("categorical", [*data.categories].index(name), 1 + len(data.categories[name]))
        for name in spec.chain.within
    ] + [
        Look(SEQUENCE, -place, FIRST_TOKEN + len(vocabulary.names), FIRST_TOKEN)
        for place in range(1, spec.chain.order + 1)
    ]
    arrays = inputs.arrays(rows_of(data.batch(train), data.contract), ["categorical", SEQUENCE])
    label = vocabulary.numbers(data.label[train])
    options = spec.chain
    return fit_chain(
        looks, arrays, label, vocabulary.certain, vocabulary.prior, options.prior_rows,
        options.contexts,
    )  # fmt: skip


def _markov(
    spec: Spec, data: Dataset, vocabulary: Vocabulary, chain: Chain
) -> tuple[Network, Callable[[pa.RecordBatch], Floats]]:
    """The chain as a table: a row for each context."""
    inputs = _chain_inputs(spec, data, vocabulary)

    def context(batch: pa.RecordBatch) -> Codes:
        arrays = inputs.arrays(rows_of(batch, data.contract), ["categorical", SEQUENCE])
        return chain.path(arrays)[:, -1]

    logs = np.log(np.maximum(chain.shares(), np.finfo(np.float32).tiny))
    kept = data.rows("calibration")
    number = vocabulary.numbers(data.label[kept])
    level, slope = sharpness_by_entropy(logs[context(data.batch(kept))], number)
    logs *= np.exp(level + slope * np.log(entropies(logs)))
    answers = _most_likely(spec, logs, vocabulary)
    network = from_table(inputs, chain.steps, answers, output_names(spec))
    return network, lambda batch: answers[context(batch)]


def _most_likely(spec: Spec, logs: Floats, vocabulary: Vocabulary) -> Floats:
    """float64[rows, 2 * places]: labels, then shares, which leave what is new."""
    shares = np.exp(log_softmax(logs, axis=1))
    best = np.argsort(-logs[:, :-1], axis=1, kind="stable")[:, : spec.places]
    return np.hstack([vocabulary.labels[best], np.take_along_axis(shares, best, axis=1)])
