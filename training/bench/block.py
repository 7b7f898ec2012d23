"""Rows as one block of ClickHouse's Buffers format: what the engine would send to the scorer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def buffers_block(bundle: int, numeric: NDArray[np.float64]) -> bytes:
    """A block of (bundle, numeric, categorical) with no categories.

    Args:
        bundle: the bundle's id, the same for every row.
        numeric: float64[rows, inputs].
    """
    rows, width = numeric.shape
    columns = (
        np.full(rows, bundle, "<u8").tobytes(),
        (np.arange(1, rows + 1, dtype="<u8") * width).tobytes() + numeric.astype("<f8").tobytes(),
        bytes(8 * rows),
    )
    return _number(3) + _number(rows) + b"".join(_number(len(c)) + c for c in columns)
