"""Collected queries, each with what the promoted cache_admission says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treehouse.clickhouse.client import identifier
from treehouse.platform.replay.traces import CacheTrace, Flags, Floats, Ints
from treehouse.project.contract import load_contract
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import project_vars

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


@dataclass(frozen=True)
class Asked:
    """Queries in the order of time.

    Attributes:
        trace: Time, object, size and seconds of each; an entry is an object, and its answer ends
            as the store lets it end that renews what nothing was written to.
        version_of: An object between two writes into its tables, (n,), codes from 0.
        read_bytes: That each read, (n,).
        changed_at: Seconds at which the first table of each was next written, (n,).
        allowed: Seconds that each answer may be behind, (n,).
        admit: What the promoted version decides for each, (n,).
        reuse: Its probability that the same is asked again in time, (n,).
        kept_seconds: For how long it expects the answer to wait for that, or for its end, (n,).
        saved: What a hit saves, (n,): the seconds that the same took on average until then.
        judged: Whether each came after all that the version was fitted and chosen on, (n,).
        version: Of the model; 0 where none is promoted.
        written: Seconds at which any table of each object was written, ascending, by object.
        store_seconds, pass_seconds, horizon_seconds: As they are configured: what storing an answer
            costs, the time between two passes of `cache fill`, and how old an answer is renewed.
    """

    trace: CacheTrace
    version_of: Ints
    read_bytes: Floats
    changed_at: Floats
    allowed: Floats
    admit: Flags
    reuse: Floats
    kept_seconds: Floats
    saved: Floats
    judged: Flags
    version: int
    written: Sequence[Sequence[float]]
    store_seconds: float
    pass_seconds: float
    horizon_seconds: float


def read_asked(client: Client, settings: Settings) -> Asked:
    """The collected queries of configured tables, with the decisions of the promoted version.

    Raises:
        TreehouseError: There are none, or none that are later than the training.
    """
    arguments = ", ".join(identifier(f.name) for f in load_contract("cache_admission").features)
    database = identifier(settings.database)
    data = client.query(
        _ASKED.replace("{database}", database).replace("{features}", arguments),
        column_oriented=True,
    ).result_columns
    if not data or not sum(data[-2]):
        raise TreehouseError(
            "No collected query is later than what the model was fitted on.",
            fix="./treehouse collect && ./treehouse build --select +path:models/cache_admission",
        )
    item = np.unique(np.asarray(data[0], dtype=np.uint64), return_inverse=True)[1]
    rows = client.query(_WRITTEN.replace("{database}", database)).result_rows
    writes: dict[int, list[float]] = {tables: moments for tables, moments in rows}  # noqa: C416
    tables_of = dict(zip(item.tolist(), data[1], strict=True))
    columns: list[Floats] = [np.asarray(column, dtype=np.float64) for column in data[2:]]
    time, size, cost, read, changed_at, ends, allowed, admit, reuse, kept, mean = columns[:-2]
    version_of = np.unique(np.rec.fromarrays([item, changed_at]), return_inverse=True)[1]
    judged, version = columns[-2:]
    variables = project_vars()
    given = variables["result_cache"]
    return Asked(
        CacheTrace(time, item, item, size.astype(np.int64), cost, ends), version_of, read,
        changed_at, allowed, admit.astype(bool), reuse, kept, mean, judged.astype(bool),
        int(version[0]), [writes[tables_of[code]] for code in range(len(tables_of))],
        float(given["store_ms"]) / 1e3, float(given["pass_seconds"]),
        float(variables["cache_admission_horizon_seconds"]),
    )  # fmt: skip


_ASKED = """
with decided as (
    select
        *,
        cache_decision({features}) as decision,
        predict_cache_admission_full({features}) as prediction
    from {database}.cache_admission_features
)
select
    result_key,
    cityHash64(tables),
    toUnixTimestamp64Micro(event_at) / 1e6,
    result_bytes,
    duration_ms / 1e3,
    read_bytes,
    ifNull(toUnixTimestamp64Micro(lives.changed_at) / 1e6, 1e12),
    toUnixTimestamp64Micro(lives.ends_at) / 1e6,
    allowed_stale_seconds,
    decision.admit,
    ifNull(prediction.value, 0),
    ifNull(prediction.kept_seconds, 1),
    (ifNull(mean_duration_ms, 0) * requests_7d + duration_ms) / (requests_7d + 1) / 1e3,
    event_at > (
        select max(event_at) from {database}.cache_admission_training_set where split != 'test'
    ) as judged,
    prediction.version
from decided
inner join {database}.cache_admission_lives as lives using (log_id)
order by event_at, log_id
"""
_WRITTEN = """
select
    tables_key,
    arraySort(groupUniqArrayIf(toUnixTimestamp64Micro(writes.written_at) / 1e6, writes.number > 0))
from (
    select distinct cityHash64(tables) as tables_key, arrayJoin(tables) as table_name
    from {database}.cache_admission_features
) as asked
left join {database}.cache_admission_writes as writes on writes.table_name = asked.table_name
group by tables_key
"""
