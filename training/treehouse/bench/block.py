"""Rows as one block of ClickHouse's Buffers format: what the engine would send to the scorer."""

from __future__ import annotations

from collections.abc import Iterator

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
    return b"".join(buffers_pieces(bundle, numeric, len(numeric)))


def buffers_pieces(bundle: int, sample: NDArray[np.float64], rows: int) -> Iterator[bytes]:
    """The same in pieces, so that a large block need not be held.

    Args:
        bundle: the bundle's id, the same for every row.
        sample: float64[at least one, inputs], repeated until there are enough.
        rows: of the block.
    """
    width = sample.shape[1]
    values = sample.astype("<f8").tobytes()
    yield _number(3) + _number(rows) + _number(8 * rows)
    yield np.full(rows, bundle, "<u8").tobytes()
    yield _number(8 * rows + 9 * rows * width)
    yield (np.arange(1, rows + 1, dtype="<u8") * width).tobytes()
    yield bytes(rows * width)  # none is NULL
    for left in range(rows, 0, -len(sample)):
        yield values[: 8 * width * left]
    yield _number(8 * rows) + bytes(8 * rows)
