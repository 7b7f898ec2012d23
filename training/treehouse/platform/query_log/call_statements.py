"""The SQL of a collection for calls of named queries; parameters as in statements.py."""

from __future__ import annotations

from collections.abc import Iterable

from treehouse.clickhouse.client import literal
from treehouse.platform.query_log.calls import Call
from treehouse.platform.query_log.query_statements import (
    AT,
    RESULT_KEY,
    SINCE,
    TAIL,
    unseen_queries,
)

_CALLS = """log.is_initial_query
        and log.query_kind = 'Select'
        and log.exception_code = 0
        and log.reads_store"""


def new_calls(raw: str, origin: str, limit: int) -> str:
    """Up to `limit` queries of the result store's views that are not known: result_key, text."""
    return f"""
    {unseen_queries(raw, origin)}
    select {RESULT_KEY} as result_key, any(log.bare) as text
    from unseen as log
    where
        {_CALLS}
        and result_key not in (select result_key from {raw}.engine_calls)
    group by result_key
    limit {limit}
    """


def texts(origin: str, limit: int) -> str:
    """Up to `limit` texts of such queries in the log since, the newest; they are kept nowhere."""
    return f"""
    select any(log.bare) as text
    from (
        select
            *,
            replaceRegexpOne(query, '{TAIL}', '') as bare,
            arrayExists(t -> startsWith(t, {{store:String}}), tables) as reads_store
        from {origin}
        where event_time >= {SINCE} and type = 'QueryFinish'
    ) as log
    where {_CALLS}
    group by cityHash64(log.bare)
    order by max(log.event_time) desc
    limit {limit}
    """


def insert_calls(raw: str, rows: str) -> str:
    """Into engine_calls what was parsed: `rows` of (result_key, name, parameters, values)."""
    return f"""
    insert into {raw}.engine_calls
    with (select key from {raw}.engine_keys order by created_at limit 1) as secret
    select
        result_key,
        {AT} as seen_at,
        name,
        mapFromArrays(parameters, arrayMap(v -> sipHash64Keyed(secret, v), found)) as arguments
    from values(
        'result_key UInt64, name String, parameters Array(String), found Array(String)',
        {rows}
    )
    """


def hashes(raw: str, texts: str) -> str:
    """Keyed hashes of values, as engine_calls has them; `texts` is an array."""
    return f"""
    with (select key from {raw}.engine_keys order by created_at limit 1) as secret
    select arrayMap(text -> sipHash64Keyed(secret, text), {texts})
    """


def call_rows(key: int, calls: Iterable[Call]) -> str:
    """Rows for insert_calls(): the calls of a query, or one without a name."""
    return ", ".join(
        f"({key}, {literal(call.name)}, {strings(call.arguments)}, "
        f"{strings(call.arguments.values())})"
        for call in tuple(calls) or (Call("", {}),)
    )


def strings(values: Iterable[str]) -> str:
    """An array of strings."""
    return f"[{', '.join(map(literal, values))}]::Array(String)"
