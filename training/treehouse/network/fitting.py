"""What a network's inputs learn from the training rows: scales and vocabularies."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from udfs.network.inputs import Scaling


def fit_scaling(values: NDArray[np.float64], is_log: bool = False) -> Scaling:
    """Mean and standard deviation of the finite values; a constant is left at its own scale."""
    known = values[np.isfinite(values)]
    if is_log:
        known = np.sign(known) * np.log1p(np.abs(known))
    if not len(known):
        return Scaling(is_log=is_log)
    deviation = float(known.std())
    return Scaling(float(known.mean()), deviation if deviation > 0 else 1.0, is_log)


def fit_vocabulary(tokens: pa.Array, size: int) -> tuple[str, ...]:
    """The most frequent strings of an Arrow array, at most `size`, the most frequent first.

    Equal counts are ordered by the string, so that equal data gives an equal vocabulary. An empty
    string is no token.
    """
    counts = pc.value_counts(tokens.filter(pc.not_equal(tokens, "")))
    table = pa.table({"token": counts.field("values"), "count": counts.field("counts")})
    order = [("count", "descending"), ("token", "ascending")]
    return tuple(table.sort_by(order).slice(0, size).column("token").to_pylist())
