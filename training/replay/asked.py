"""Collected queries, each with what the promoted cache_admission says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.contract import load_contract
from training.engine import identifier
from training.errors import TreehouseError
from training.replay.traces import CacheTrace, Flags, Floats

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.settings import Settings


@dataclass(frozen=True)
class Asked:
    """Queries in the order of time.

    Attributes:
        trace: Time, object, size and seconds; an entry is an object between two writes.
        read_bytes: That each read, (n,).
        changed_at: Seconds at which the first table of each was next written, (n,).
        allowed: Seconds that each answer may be behind, (n,).
        admit, ttl, reuse: What the promoted version says of each, (n,).
        judged: Whether each came after all that the version was fitted and chosen on, (n,).
        version: Of the model; 0 where none is promoted.
    """

    trace: CacheTrace
    read_bytes: Floats
    changed_at: Floats
    allowed: Floats
    admit: Flags
    ttl: Floats
    reuse: Floats
    judged: Flags
    version: int


def read_asked(client: Client, settings: Settings) -> Asked:
    """The collected queries of configured tables, with the decisions of the promoted version.

    Raises:
        TreehouseError: There are none, or none that are later than the training.
    """
    arguments = ", ".join(identifier(f.name) for f in load_contract("cache_admission").features)
    data = client.query(
        _ASKED.replace("{database}", identifier(settings.database)).replace(
            "{features}", arguments
        ),
        column_oriented=True,
    ).result_columns
    if not data or not sum(data[-2]):
        raise TreehouseError(
            "No collected query is later than what the model was fitted on.",
            fix="./treehouse collect && ./treehouse build --select +path:models/cache_admission",
        )
    columns: list[Floats] = [np.asarray(column, dtype=np.float64) for column in data[1:]]
    (
        time,
        size,
        cost,
        read_bytes,
        changed_at,
        allowed,
        admit,
        ttl,
        reuse,
        judged,
        version,
    ) = columns
    item = np.unique(np.asarray(data[0], dtype=np.uint64), return_inverse=True)[1]
    entry = np.unique(np.rec.fromarrays([item, changed_at]), return_inverse=True)[1]
    trace = CacheTrace(time, item, entry, size.astype(np.int64), cost)
    return Asked(
        trace, read_bytes, changed_at, allowed, admit.astype(bool), ttl, reuse, judged.astype(bool),
        int(version[0]),
    )  # fmt: skip


_ASKED = """
with
changes as (
    select
        reads.log_id as log_id,
        min(if(next.number = 0, 1e12, toUnixTimestamp64Micro(next.written_at) / 1e6)) as changed_at
    from (
        select log_id, event_at, table_name
        from {database}.cache_admission_features
        array join tables as table_name
    ) as reads
    asof left join {database}.cache_admission_writes as next
        on next.table_name = reads.table_name and next.written_at >= reads.event_at
    group by log_id
),
decided as (
    select
        *,
        cache_decision({features}) as decision,
        predict_cache_admission_full({features}) as prediction
    from {database}.cache_admission_features
)
select
    result_key,
    toUnixTimestamp64Micro(event_at) / 1e6,
    result_bytes,
    duration_ms / 1e3,
    read_bytes,
    changes.changed_at,
    allowed_stale_seconds,
    decision.admit,
    decision.ttl_seconds,
    ifNull(prediction.value, 0),
    event_at > (
        select max(event_at) from {database}.cache_admission_training_set where split != 'test'
    ) as judged,
    prediction.version
from decided
left join changes using (log_id)
order by event_at, log_id
"""
