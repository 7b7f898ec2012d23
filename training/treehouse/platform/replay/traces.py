"""Traces, read by the engine and checked: what a cache or a storage saw, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from treehouse.platform.replay.trace_columns import check, fetch, seconds, trace_relation
from treehouse.project.settings import Settings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_TIME = ("time", "timestamp", "ts")
_CACHE = {
    "time": _TIME,
    "object": ("object", "obj_id", "object_id", "key", "id"),
    "size": ("size", "bytes", "obj_size", "object_size"),
}
_TIERING = {
    "time": _TIME,
    "partition": ("partition", "partition_name", "block", "object", "id"),
    "operation": ("operation", "op", "type"),
    "size": _CACHE["size"],
}
_WRITES = ("write", "w", "insert", "put", "1")
_READS = ("read", "r", "select", "get", "0")


@dataclass(frozen=True)
class CacheTrace:
    """Requests in the order of time.

    Attributes:
        time: Seconds, (n,), ascending.
        object: What was asked for, (n,), codes from 0.
        entry: What a cache would hold, (n,), codes from 0: an object of another size or version is
            another entry, for the old one no longer answers.
        size: Bytes, (n,).
        cost: What a miss costs, (n,): seconds where the trace says it, else 1.
        ends: Seconds until which an answer that a request computed is served, (n,); None: always.
    """

    time: Floats
    object: Ints
    entry: Ints
    size: Ints
    cost: Floats
    ends: Floats | None = None

    def __len__(self) -> int:
        return len(self.time)

    def first(self, requests: int) -> CacheTrace:
        """Only the first requests."""
        part = slice(requests)
        ends = None if self.ends is None else self.ends[part]
        return CacheTrace(
            self.time[part], self.object[part], self.entry[part], self.size[part], self.cost[part],
            ends,
        )  # fmt: skip

    @property
    def distinct_bytes(self) -> int:
        """Bytes of all entries, each once."""
        _, first = np.unique(self.entry, return_index=True)
        return int(self.size[first].sum())


@dataclass(frozen=True)
class TieringTrace:
    """Reads and writes of partitions in the order of time.

    Attributes:
        time: Seconds, (n,), ascending.
        partition: Which, (n,), codes from 0 in the order of their names.
        is_write: Whether it wrote, (n,).
        size: Bytes read or written, (n,).
        stored: Bytes that the partition holds from then on, (n,).
        table: Of each partition code, (partitions,), codes from 0.
    """

    time: Floats
    partition: Ints
    is_write: Flags
    size: Ints
    stored: Ints
    table: Ints

    def __len__(self) -> int:
        return len(self.time)


def read_cache_trace(client: Client, settings: Settings, path: Path | None) -> CacheTrace:
    """A file with time, object and size, and maybe cost and version; None: the collected queries.

    Raises:
        TreehouseError: It lacks a column, is empty or unsorted, or has a size below 0.
    """
    optional = {"cost": "toFloat64OrNull({})", "version": "cityHash64({})"}
    with trace_relation(
        client, settings, path, "stg_query_trace", _CACHE, tuple(optional)
    ) as found:
        relation, names = found
        extra = {name: sql.format(names[name]) for name, sql in optional.items() if name in names}
        columns = fetch(
            client,
            relation,
            {
                "time": seconds(names["time"]),
                "object": f"cityHash64({names['object']})",
                "size": f"toInt64OrNull({names['size']})",
            }
            | extra,
        )
    check(columns)
    objects = np.unique(columns["object"], return_inverse=True)[1]
    size = columns["size"].astype(np.int64)
    version = columns.get("version", np.zeros(len(size), np.uint64))
    entries = np.unique(
        np.rec.fromarrays([objects, size, version]), return_inverse=True
    )[1]  # fmt: skip
    cost = columns["cost"].astype(float) if "cost" in columns else np.ones(len(size))
    return CacheTrace(columns["time"].astype(float), objects, entries, size, cost)


def read_tiering_trace(client: Client, settings: Settings, path: Path | None) -> TieringTrace:
    """A file with time, partition, operation and size, and maybe stored_bytes; None: what was
    collected.

    Without stored_bytes a partition holds as much as the largest request up to then. What comes
    before the last dot of a partition's name is its table; a name without a dot has none.

    Raises:
        TreehouseError: It lacks a column, is empty or unsorted, has a size below 0, or an operation
            that is neither read nor write.
    """
    optional = {"stored_bytes": "toInt64OrNull({})"}
    with trace_relation(
        client, settings, path, "stg_partition_trace", _TIERING, tuple(optional)
    ) as found:
        relation, names = found
        extra = {name: sql.format(names[name]) for name, sql in optional.items() if name in names}
        kind = f"lower({names['operation']})"
        columns = fetch(
            client,
            relation,
            {
                "time": seconds(names["time"]),
                "partition": f"cityHash64({names['partition']})",
                "operation": f"multiIf({kind} in {_WRITES}, 1, {kind} in {_READS}, 0, null)",
                "size": f"toInt64OrNull({names['size']})",
            }
            | extra,
        )
        check(columns)
        codes, tables = _by_name(client, relation, names["partition"])
    order = np.argsort(codes)
    partition = order[np.searchsorted(codes, columns["partition"], sorter=order)]
    size = columns["size"].astype(np.int64)
    stored = columns.get("stored_bytes", size).astype(np.int64)
    return TieringTrace(
        time=columns["time"].astype(float),
        partition=partition,
        is_write=columns["operation"].astype(bool),
        size=size,
        stored=_largest_so_far(partition, stored),
        table=tables,
    )


def _by_name(client: Client, relation: str, name: str) -> tuple[NDArray[np.uint64], Ints]:
    """Of each partition in the order of their names: its hash, and the code of its table."""
    found = client.query_arrow(
        f"select cityHash64({name}) as hash, "
        f"cityHash64(replaceRegexpOne({name}, '[.]?[^.]*$', '')) as of_table "
        f"from {relation} group by {name} order by {name}"
    )
    tables = np.unique(found["of_table"].to_numpy(), return_inverse=True)[1]
    return found["hash"].to_numpy(), tables


def _largest_so_far(groups: Ints, values: Ints) -> Ints:
    """The running maximum of the values within each group, in the given order."""
    distinct, ranks = np.unique(values, return_inverse=True)
    order = np.argsort(groups, kind="stable")
    offsets = groups[order] * len(distinct)  # so that each group is above all before it
    running = np.maximum.accumulate(ranks[order] + offsets) - offsets
    result = np.empty_like(values)
    result[order] = distinct[running]
    return result
