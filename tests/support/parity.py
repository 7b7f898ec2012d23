"""Bundles for parity tests: every margin, then every output, of one forest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.support.scorer_pipe import Scorer
from treehouse.bundle import Bundle, Inputs, e
from treehouse.forest import Forest

Floats = NDArray[np.float64]


def numeric_bundle(forest: Forest) -> Bundle:
    """All features as numbers."""
    n = forest.n_outputs
    heads = {f"margin {k}": e.margin(0, k) for k in range(n)}
    heads |= {f"output {k}": e.out(0, k) for k in range(n)}
    return Bundle("parity", 1, "c", Inputs(forest.features), (forest,), heads)


def margins_and_outputs(scorer: Scorer, forest: Forest, rows: Floats) -> tuple[Floats, Floats]:
    """Both float64[rows, outputs]; one row alone answers as it does in the batch."""
    number = scorer.publish(numeric_bundle(forest))
    found = scorer.score(number, rows)
    for row in (0, len(rows) // 2, len(rows) - 1):
        alone = scorer.score(number, rows[row : row + 1])
        np.testing.assert_array_equal(alone[0], found[row])
    return found[:, : forest.n_outputs], found[:, forest.n_outputs :]
