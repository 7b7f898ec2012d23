"""Golden rows: inputs with the trainer's own answers, chosen where an evaluator goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.bundle import Bundle
from training.fit.dataset import Dataset

if TYPE_CHECKING:
    from training.fit.candidates import Candidate

Floats = NDArray[np.float64]
_UNSEEN = "no such category"
_EXTREMES = (np.nan, 0.0, -0.0, np.inf, -np.inf, 5e-324, -1e-300, 1e300)


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
    names = tuple(f.name for f in data.contract.features)
    matrix = data.matrix[rng.integers(0, len(data.matrix), rows)].copy()
    numeric = [i for i, f in enumerate(data.contract.features) if f.kind == "numeric"]
    thresholds = _thresholds(chosen, names)
    for row in range(rows // 4, rows):
        for column in rng.choice(len(names), size=min(3, len(names)), replace=False):
            if column in numeric:
                matrix[row, column] = _edge(rng, thresholds[names[column]])
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


def _thresholds(chosen: Candidate, names: tuple[str, ...]) -> dict[str, list[float]]:
    """Every numeric threshold of the boosters, by feature."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for booster in chosen.boosters:
        table = booster.trees_to_dataframe()
        splits = table[table["decision_type"] == "<="]
        for name, value in zip(splits["split_feature"], splits["threshold"], strict=True):
            found[name].append(float(value))
    return found


def _edge(rng: np.random.Generator, thresholds: list[float]) -> float:
    if not thresholds or rng.random() < 0.3:
        return float(rng.choice(_EXTREMES))
    threshold = float(rng.choice(thresholds))
    return float(
        rng.choice([threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf)])
    )


def _text(
    bundle: Bundle, names: tuple[str, ...], name: str, row: Floats, rng: np.random.Generator
) -> str:
    """A category's string for its code; a missing one comes empty or unseen."""
    code = row[names.index(name)]
    if np.isnan(code):
        return str(rng.choice(["", _UNSEEN]))
    return bundle.inputs.categorical[name][int(code)]
