"""Blocks of rows in, answers out, until the engine closes the pipe.

A block is an Arrow stream. The engine reads as many rows as it sent and looks no further, so an
answering stream has no end marker: it would be found in front of the next answer.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from udfs.network.models import Store
from udfs.network.rows import ANSWER

#: Rows that are computed at a time: bounds memory, whatever the block's size.
CHUNK = 2048


def serve(
    source: io.BufferedReader,
    target: io.BufferedWriter,
    store: Store,
    refuse: Callable[[Exception], None],
) -> bool:
    """Answer every block.

    Args:
        source: Where blocks come from.
        target: Where answers go.
        store: The model files.
        refuse: Told why a block can't be answered. Only then its answer is ended, with rows
            missing: an engine that meets the end looks for a reason, and not before.

    Returns:
        Whether all blocks were answered.
    """
    while source.peek(1):
        answer = pa.ipc.new_stream(target, ANSWER)
        try:
            for batch in pa.ipc.open_stream(source):
                for first in range(0, batch.num_rows, CHUNK):
                    answer.write_batch(_answer(batch.slice(first, CHUNK), store))
                    target.flush()
        except Exception as error:
            refuse(error)
            answer.close()
            target.flush()
            return False
    return True


def _answer(batch: pa.RecordBatch, store: Store) -> pa.RecordBatch:
    """Rows of one model are answered together, wherever they lie."""
    bundles = batch.column("bundle").to_numpy()
    widths = np.zeros(batch.num_rows, np.int64)
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    for bundle in np.unique(bundles).tolist():
        if bundle == 0:
            continue  # nothing is promoted: an empty answer
        where = np.flatnonzero(bundles == bundle)
        part = batch if len(where) == batch.num_rows else batch.take(pa.array(where))
        values = store.get(bundle).answer(part)
        widths[where] = values.shape[1]
        found.append((where, values))
    offsets = np.concatenate([[0], np.cumsum(widths)])
    flat = np.empty(offsets[-1])
    for where, values in found:
        flat[offsets[where][:, None] + np.arange(values.shape[1])] = values
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat))
    return pa.record_batch([lists], schema=ANSWER)
