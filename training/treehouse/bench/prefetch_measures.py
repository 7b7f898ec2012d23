"""What an arm of `bench prefetch` spent and served, by the engine's own logs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier, literal
from treehouse.platform.result_cache.config import ResultCache
from treehouse.project.errors import TreehouseError
from treehouse.simulation.shop.shop import DATABASE

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

_NAMED = "%Y-%m-%d %H:%M:%S.%f"


def measures(
    client: Client,
    settings: Settings,
    cache: ResultCache,
    began: datetime,
    speed: float,
) -> dict[str, Any]:
    """Hits, cost and staleness since an arm began.

    Raises:
        TreehouseError: An answer was staler than its owner allows.
    """
    client.command("system flush logs")
    moment = {"began": f"{began:{_NAMED}}"}
    values = client.query(_SPENT.format(**_names(settings, cache)), parameters=moment)
    served = client.query(
        _BEHIND.format(allowed=_allowed(cache), **_names(settings, cache)), parameters=moment
    )
    found = next(iter(values.named_results())) | next(iter(served.named_results()))
    del found["cpu"]
    if (over := found.pop("most_over_s")) > 0:
        raise TreehouseError(
            "An answer was staler than its owner allows.", value=f"{over:.3f} s too old"
        )
    return found | {"most_behind_s": found["most_behind_s"] * speed}


def _names(settings: Settings, cache: ResultCache) -> dict[str, str]:
    return {
        "results": f"{identifier(cache.database)}.results",
        "queries": f"{identifier(settings.raw_database)}.engine_queries",
        "shop": DATABASE,
    }


def _allowed(cache: ResultCache) -> str:
    """Rows of name, table and the seconds that an answer may be behind it."""
    return ", ".join(
        f"({literal(query.name)}, {literal(table)}, {query.allowed_seconds})"
        for query in cache.queries.values()
        for table in query.tables
    )


_SPENT = """
with
{{began:DateTime64(6)}} as since,
(select groupUniqArray(result_id) from {queries} where result_id != 0 and logged_at > since) as read
select
    (
        select countIf(result_id != 0) / greatest(count(), 1) from {queries}
        where dashboard != '' and kind = 'Select' and logged_at > since
    ) as hit_share,
    (
        select tuple(
            medianIf(cpu_ms, of_dashboard), quantileIf(0.9)(cpu_ms, of_dashboard), sum(cpu_ms) / 1e3
        )
        from (
            select
                ProfileEvents['OSCPUVirtualTimeMicroseconds'] / 1e3 as cpu_ms,
                JSONExtractString(log_comment, 'dashboard') != '' as of_dashboard
            from system.query_log
            where event_time_microseconds > since and type = 'QueryFinish'
        )
    ) as cpu,
    cpu.1 as median_cpu_ms,
    cpu.2 as p90_cpu_ms,
    cpu.3 as engine_cpu_s,
    countIf(state = 'stored') as stored,
    countIf(state = 'failed') as failed,
    sumIf(seconds + store_seconds, state = 'stored') as spent_s,
    (
        select sum(read_bytes) / 1e6 from system.query_log
        where event_time_microseconds > since and type = 'QueryFinish' and query_kind = 'Select'
            and log_comment = '{{"treehouse": "cache"}}'
    ) as spent_mb,
    if(
        spent_s = 0, 0,
        sumIf(seconds + store_seconds, state = 'stored' and not has(read, result_id)) / spent_s
    ) as wasted_share
from {results}
where at > since
"""
# An answer is behind from the first write after it was computed on.
_BEHIND = """
with
{{began:DateTime64(6)}} as since,
hits as (
    select result_id, logged_at - toIntervalMicrosecond(toInt64(duration_ms * 1000)) as read_at
    from {queries}
    where result_id != 0 and logged_at > since
),
answers as (
    select result_id, any(name) as answer_name, min(computed_at) as computed_at
    from {results}
    where state = 'stored' and at > since
    group by result_id
),
writes as (
    select concat(database, '.', table) as table_name, event_time_microseconds as written_at
    from system.part_log
    where event_type = 'NewPart' and database = '{shop}' and written_at > since
)
select
    max(greatest(0, behind_s)) as most_behind_s,
    max(behind_s - allowed_s) as most_over_s
from (
    select
        allowed.seconds as allowed_s,
        if(
            writes.table_name = '', 0,
            dateDiff('microsecond', writes.written_at, hits.read_at) / 1e6
        ) as behind_s
    from hits
    inner join answers using (result_id)
    inner join values('name String, table_name String, seconds Float64', {allowed}) as allowed
        on allowed.name = answers.answer_name
    asof left join writes
        on writes.table_name = allowed.table_name and writes.written_at > answers.computed_at
)
"""
