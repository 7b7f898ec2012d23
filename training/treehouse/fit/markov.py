"""A Markov chain that backs off: what followed the same tokens in the same place.

Contexts grow step by step: all rows; those of the same category, such as a dashboard; of these,
those after the same token; after the same two, and so on. In each context the shorter one counts
as some rows beside its own: smoothing with a Dirichlet prior (MacKay, Peto 1995).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treehouse.network import Step

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Look:
    """What tells a longer context from a shorter one.

    Attributes:
        array: The network's input that holds it.
        column: Its column; -1 is a sequence's last.
        codes: How many codes there are.
        first: The least code that names something; a lesser one ends the context.
    """

    array: str
    column: int
    codes: int
    first: int = 0


@dataclass(frozen=True)
class Chain:
    """A fitted chain; context 0 is that of all rows.

    Attributes:
        steps: How contexts grow. A context that the training rows had not stays the shorter one.
        counts: float64[contexts, labels]: how often each label followed in the training rows.
        certain: float64[labels]: what a row counts for its label; the rest counts for the last.
        known: float64[labels]: the shares before anything is known.
        prior_rows: How many rows the shorter context counts for.
    """

    steps: tuple[Step, ...]
    counts: Floats
    certain: Floats
    known: Floats
    prior_rows: float

    def path(self, arrays: Mapping[str, NDArray[Any]]) -> Codes:
        """int64[rows, 1 + steps]: the context of each row after each step."""
        rows = len(arrays[self.steps[0].array])
        found = [np.zeros(rows, np.int64)]
        for step in self.steps:
            found.append(step.following[found[-1], arrays[step.array][:, step.column]])
        return np.column_stack(found)

    def shares(self) -> Floats:
        """float64[contexts, labels]."""
        found = self._smoothed(self.counts[:1], self.known)
        for step in self.steps:
            shorter, code = np.nonzero(step.following >= len(found))
            order = np.argsort(step.following[shorter, code])
            counts = self.counts[len(found) : len(found) + len(order)]
            found = np.vstack([found, self._smoothed(counts, found[shorter[order]])])
        return found

    def shares_without(self, path: Codes, label: Codes) -> Floats:
        """float64[rows, labels]: for training rows, as if each had not been counted itself.

        What is fitted beside the chain then sees it as wrong as it will be on new rows:
        leaving-one-out (Ney, Essen, Kneser 1995).
        """
        own = _counted(np.arange(len(path)), len(path), label, self.certain)
        found = self._smoothed(self.counts[path[:, 0]] - own, self.known)
        for shorter, context in zip(path.T, path.T[1:], strict=False):
            longer = self._smoothed(self.counts[context] - own, found)
            found = np.where((context == shorter)[:, None], found, longer)
        return found

    def _smoothed(self, counts: Floats, shorter: Floats) -> Floats:
        rows = counts.sum(axis=1, keepdims=True) + self.prior_rows
        found: Floats = (counts + self.prior_rows * shorter) / rows
        return found


def fit_chain(
    looks: Sequence[Look],
    arrays: Mapping[str, NDArray[Any]],
    label: Codes,
    certain: Floats,
    known: Floats,
    prior_rows: float,
    most: int,
) -> Chain:
    """Count what followed in each context.

    Args:
        looks: In their order, one at least.
        arrays: int64[rows, columns], the training rows, by name.
        label: int64[rows], what followed.
        certain: float64[labels]: what a row counts for its label; the rest counts for the last.
        known: float64[labels]: the shares before anything is known.
        prior_rows: Above 0.
        most: Contexts that a step keeps, the most frequent.
    """
    context, is_live = np.zeros(len(label), np.int64), np.ones(len(label), bool)
    counts, steps, contexts = [_counted(context, 1, label, certain)], [], 1
    for look in looks:
        code = arrays[look.array][:, look.column]
        is_live = is_live & (code >= look.first)
        pairs, number, rows = np.unique(
            np.column_stack([context, code])[is_live], axis=0, return_inverse=True,
            return_counts=True,
        )  # fmt: skip
        kept = np.argsort(-rows, kind="stable")[:most]
        place = np.full(len(pairs), -1)
        place[kept] = np.arange(len(kept))
        number = place[number.ravel()]
        is_live[is_live] = number >= 0
        number = number[number >= 0]
        following = np.tile(np.arange(contexts)[:, None], (1, look.codes))
        following[tuple(pairs[kept].T)] = contexts + np.arange(len(kept))
        context = np.where(is_live, following[context, code], context)
        counts.append(_counted(number, len(kept), label[is_live], certain))
        steps.append(Step(look.array, look.column, following))
        contexts += len(kept)
    return Chain(tuple(steps), np.vstack(counts), certain, known, prior_rows)


def _counted(context: Codes, contexts: int, label: Codes, certain: Floats) -> Floats:
    found = np.zeros((contexts, len(certain)))
    np.add.at(found, (context, label), certain[label])
    np.add.at(found[:, -1], context, 1 - certain[label])
    return found
