"""Golden rows: inputs with the trainer's own answers, chosen where an evaluator goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle import Bundle
from treehouse.fit.dataset import Dataset
from treehouse.fit.trainers import FLOAT32_MAX, takes_infinities
from treehouse.forest.model import NodeFlag

if TYPE_CHECKING:
    from treehouse.fit.candidate import Candidate

Floats = NDArray[np.float64]
_UNSEEN = "no such category"
_EXTREMES = (np.nan, 0.0, -0.0, np.inf, -np.inf, 5e-324, -1e-300, 3e38, 1e300)


def golden_rows(
    bundle: Bundle, data: Dataset, chosen: Candidate, rows: int = 256, seed: int = 1
) -> dict[str, Any]:
    """Rows to verify an evaluator by.

    A quarter are rows of the data; the others change a few of their features each to a
    threshold of the model, one ulp beside it, an extreme, a missing or an unseen category.

    Returns:
        numeric: list[rows][features]; categorical: list[rows][features] of strings; answers:
        list[rows][heads], what the trainer's library and the head's formula in NumPy answer.
    """
    rng = np.random.default_rng(seed)
    names = data.names
    matrix = data.matrix[rng.integers(0, len(data.matrix), rows)].copy()
    numeric = [i for i, f in enumerate(data.contract.features) if f.kind == "numeric"]
    largest = np.inf if all(map(takes_infinities, chosen.models)) else FLOAT32_MAX
    edges = {name: _edges(bundle, name, largest) for name in names}
    for row in range(rows // 4, rows):
        for column in rng.choice(len(names), size=min(3, len(names)), replace=False):
            if column in numeric:
                matrix[row, column] = rng.choice(edges[names[column]][int(rng.random() < 0.3)])
            else:
                matrix[row, column] = np.nan
    answers = np.column_stack([*chosen.answers(bundle.heads, matrix, names).values()])
    text = [
        [_text(bundle, names, name, row, rng) for name in bundle.inputs.categorical]
        for row in matrix
    ]
    return {
        "numeric": matrix[:, numeric].tolist(),
        "categorical": text,
        "answers": answers.tolist(),
    }


def _edges(bundle: Bundle, name: str, largest: float) -> tuple[Floats, Floats]:
    """What a feature is changed to: thresholds and both neighbours, or extremes.

    The compiled forests' thresholds are the largest float64 that goes left: where a trainer rounds
    to float32, that is half way between two of them, where a rounding too few or too many shows.
    """
    found = [np.zeros(0)]
    for forest in bundle.forests:
        inner = (forest.flags & (NodeFlag.LEAF | NodeFlag.CATEGORICAL)) == 0
        feature = forest.features.index(name)
        found.append(forest.values[inner & (forest.feature == feature)])
    known = np.unique(np.concatenate(found))
    beside = [known, np.nextafter(known, np.inf), np.nextafter(known, -np.inf)]
    edges, extremes = np.concatenate(beside), np.array(_EXTREMES)
    edges = edges[np.abs(edges) <= largest]
    extremes = extremes[np.isnan(extremes) | (np.abs(extremes) <= largest)]
    return (edges if len(edges) else extremes), extremes


def _text(
    bundle: Bundle, names: tuple[str, ...], name: str, row: Floats, rng: np.random.Generator
) -> str:
    """A category's string for its code; a missing one comes empty or unseen."""
    code = row[names.index(name)]
    if np.isnan(code):
        return str(rng.choice(["", _UNSEEN]))
    return bundle.inputs.categorical[name][int(code)]
