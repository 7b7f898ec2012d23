"""The RANKS section: what features are looked up in; read by `udfs/scorer/lanes.cpp`."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from treehouse.forest.layout import OTHER_CODE, Columns, Table

Bytes = NDArray[np.uint8]

_RANK_HEAD = struct.Struct("<IIII")
_TABLE = np.dtype(
    [
        ("feature", "<u4"),
        ("count", "<u4"),
        ("offset", "<u8"),
        ("below", "<i4"),
        ("above", "<i4"),
        ("categorical", "<u4"),
        ("first_tree", "<u4"),
    ]
)
_FANOUT = 16


def aligned(data: bytes, to: int = 64) -> bytes:
    return data + b"\0" * (-len(data) % to)


def search_levels(keys: NDArray[np.float64]) -> bytes:
    """Sorted keys as a 16-ary search tree, top level first, padded with infinity.

    An entry of an upper level is the last one of its block of 16 in the level below.
    """
    blocks = len(keys) // _FANOUT + 1
    level = np.full(blocks * _FANOUT, np.inf)
    level[: len(keys)] = keys
    levels = [level]
    while len(level) > _FANOUT:
        last = level[_FANOUT - 1 :: _FANOUT]
        level = np.full(-(-len(last) // _FANOUT) * _FANOUT, np.inf)
        level[: len(last)] = last
        levels.insert(0, level)
    return b"".join(part.astype("<f8").tobytes() for part in levels)


def _code_map(table: Table) -> Bytes:
    """uint8[largest code + 1]: a code's place among the listed ones."""
    size = int(table.keys[-1]) + 1 if len(table.keys) else 0
    places = np.full(size, OTHER_CODE, np.uint8)
    places[table.keys.astype(np.int64)] = np.arange(len(table.keys))
    return places


def ranks_section(columns: Columns, width: int) -> bytes:
    """Tables, then what they search: keys of numeric ones, code maps of categorical ones."""
    head = _RANK_HEAD.pack(len(columns.tables), columns.n_columns, width, 0)
    rows = np.zeros(len(columns.tables), _TABLE)
    start = len(aligned(head + rows.tobytes()))
    body = b""
    parts = []
    for i, table in enumerate(columns.tables):
        content = _code_map(table).tobytes() if table.categorical else search_levels(table.keys)
        count = len(content) if table.categorical else len(table.keys)
        rows[i] = (
            table.feature,
            count,
            start,
            *table.columns,
            table.categorical,
            table.first_tree,
        )
        parts.append(aligned(content))
        start += len(parts[-1])
    body = b"".join(parts)
    return aligned(head + rows.tobytes()) + body
