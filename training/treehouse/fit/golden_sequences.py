"""Golden rows of models that hold networks: rows as they are, and with whatever may come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from treehouse.fit.dataset import matrix_features
from treehouse.network import batch_of, compare, golden_rows, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

    from treehouse.bundle import Bundle
    from treehouse.fit.candidate import Candidate
    from treehouse.fit.dataset import Dataset

_UNSEEN = "no such token"
_EXTREMES = (np.nan, 0.0, -0.0, np.inf, -np.inf, 5e-324, 1e300)
_SPARE = 2
"""Times as many are made: where two answers tie, the engine may name them in another order."""


def sequence_golden_rows(
    bundle: Bundle, data: Dataset, chosen: Candidate, rows: int = 256, seed: int = 1
) -> dict[str, Any]:
    """Rows to verify an evaluator by.

    A quarter are rows of the data; in the others sequences are cut, emptied, doubled or hold what
    was never seen, numbers are extremes, and categories are missing or unseen.

    Returns:
        numeric, categorical, tokens and series: list[rows][features]; answers: list[rows][heads],
        by the library that fitted the networks.
    """
    rng = np.random.default_rng(seed)
    batch = _varied(data.batch(), rows * _SPARE, rng)
    is_alike = np.ones(batch.num_rows, bool)
    for network, expected in _expected(chosen, batch):
        is_alike &= compare(network, rows_of(batch, data.contract), expected)
    batch = batch.take(np.flatnonzero(is_alike)[:rows])
    names = matrix_features(data.contract)
    matrix = np.full((batch.num_rows, len(names)), np.nan)
    numeric = [names.index(name) for name in data.contract.of_kind("numeric")]
    matrix[:, numeric] = np.array(batch.column("numeric").to_pylist()).reshape(len(matrix), -1)
    answers = chosen.answers(bundle.heads, matrix, names, batch)
    return golden_rows(batch, np.column_stack([*answers.values()]))


def _expected(chosen: Candidate, batch: pa.RecordBatch) -> list[tuple[Any, NDArray[np.float64]]]:
    """Each network with its trainer's own answers."""
    if chosen.reference is None:
        return []
    ends = np.cumsum([len(network.outputs) for network in chosen.networks])
    return list(
        zip(chosen.networks, np.split(chosen.reference(batch), ends[:-1], axis=1), strict=True)
    )


def _varied(batch: pa.RecordBatch, rows: int, rng: np.random.Generator) -> pa.RecordBatch:
    picked = batch.take(rng.integers(0, batch.num_rows, rows)).to_pydict()
    for row in range(rows // 4, rows):
        tokens, series = picked["tokens"][row], picked["series"][row]
        picked["tokens"][row] = [_changed(part, (_UNSEEN, ""), rng) for part in tokens]
        picked["series"][row] = [_changed(part, _EXTREMES, rng) for part in series]
        picked["numeric"][row] = _some(picked["numeric"][row], _EXTREMES, rng)
        picked["categorical"][row] = _some(picked["categorical"][row], ("", _UNSEEN), rng)
    return batch_of(**picked)


def _changed(values: list[Any], odd: Sequence[Any], rng: np.random.Generator) -> list[Any]:
    """A sequence cut at the front, emptied, doubled, or with odd values."""
    cut = values[rng.integers(0, len(values) + 1) :]
    return [cut, [], values * 2, _some(values, odd, rng)][rng.integers(4)]


def _some(values: list[Any], odd: Sequence[Any], rng: np.random.Generator) -> list[Any]:
    """A third of the values is odd."""
    return [odd[int(rng.integers(len(odd)))] if rng.random() < 1 / 3 else value for value in values]
