"""The SQL of a collection: from the engine's logs into tables that hold no literal and no name.

Every statement reads a log from `since` on and leaves out what it has by `log_id`. Parameters are
`since`, `at` (of this collection), `log` (its name in engine_collections), `own` (a text in the
log_comment of our own queries) and `store` (how the result store's databases begin).
"""

from __future__ import annotations

# A log is flushed late and in blocks: how far a collection looks back behind its watermark.
OVERLAP_SECONDS = 600
AT = "{at:DateTime64(6, 'UTC')}"
SINCE = "{since:DateTime64(6, 'UTC')}"

# Settings and format that a client appends: they say nothing of what is asked, and differ from one
# call to the next where a client has no other way to send its log_comment.
TAIL = (
    r"(?is)(\s+settings\s+{one}(\s*,\s*{one})*)?(\s+format\s+\w+)?[\s;]*$".replace(
        "{one}", r"\w+\s*=\s*('([^'\\]|\\.)*'|[^\s,']+)"
    )
    .replace("\\", "\\\\")
    .replace("'", "\\'")
)


# What tells one query with its literals from another.
RESULT_KEY = "sipHash64Keyed(secret, concat(log.current_database, '\\0', log.bare))"


def hosts(raw: str, origin: str) -> str:
    """The nodes in a log, each with the time of its newest row that was collected, or the epoch."""
    return f"""
    select host, max(collection.watermark) as watermark
    from (select distinct hostname as host from {origin}) as node
    left join (
        select host, watermark from {raw}.engine_collections where log = {{log:String}}
    ) as collection using (host)
    group by host
    """


def insert_queries(raw: str, origin: str) -> str:
    """Into engine_queries what has finished since."""
    return f"""
    insert into {raw}.engine_queries
    {unseen_queries(raw, origin)}
    select
        log.log_id,
        {AT} as collected_at,
        log.hostname as host,
        log.logged_at,
        ifNull(
            parseDateTime64BestEffortOrNull(JSONExtractString(log.log_comment, 'at'), 6, 'UTC'),
            log.started_at
        ) as event_at,
        log.is_initial_query as is_initial,
        sipHash64Keyed(
            secret, if(log.initial_query_id = '', log.query_id, log.initial_query_id)
        ) as query_key,
        sipHash64Keyed(secret, multiIf(
            JSONExtractString(log.log_comment, 'user') != '',
            JSONExtractString(log.log_comment, 'user'),
            log.initial_user != '', log.initial_user,
            log.user
        )) as user_key,
        if(
            JSONExtractString(log.log_comment, 'session') = '', 0,
            sipHash64Keyed(secret, JSONExtractString(log.log_comment, 'session'))
        ) as session_key,
        {_name("dashboard")} as dashboard,
        {_name("panel")} as panel,
        log.query_kind as kind,
        log.shape,
        {RESULT_KEY} as result_key,
        dateDiff('microsecond', log.started_at, log.logged_at) / 1000 as duration_ms,
        log.read_rows,
        log.read_bytes,
        log.written_rows,
        log.result_rows,
        log.result_bytes,
        log.memory_usage as memory_bytes,
        log.databases,
        log.tables,
        -- Where a stored answer was read, nothing else was, though the plan names it.
        if(log.result_id = 0, log.partitions, []) as partitions,
        log.exception_code,
        log.result_id
    from unseen as log
    """


def new_shapes(raw: str, origin: str, limit: int) -> str:
    """Up to `limit` shapes that are not known: hash, an example, tables, columns.

    Of queries, and of what was refused before it was known what it is.
    """
    return f"""
    {unseen_queries(raw, origin)}
    select
        shape,
        any(log.bare) as text,
        groupUniqArrayArray(log.tables) as tables,
        groupUniqArrayArray(log.columns) as columns
    from unseen as log
    where
        log.is_initial_query
        and log.query_kind in ('Select', '', 'None')
        and shape not in (select shape from {raw}.engine_query_shapes)
    group by shape
    limit {limit}
    """


def insert_watermarks(raw: str, origin: str, target: str) -> str:
    """Into engine_collections one row for each node of which there was something new."""
    return f"""
    insert into {raw}.engine_collections
    with
    new as (
        select host, count() as rows, max(logged_at) as watermark
        from {raw}.{target}
        where collected_at = {AT}
        group by host
    ),
    before as (
        select host, max(watermark) as watermark
        from {raw}.engine_collections
        where log = {{log:String}}
        group by host
    ),
    kept as (
        select
            hostname as host,
            min(greatest(event_time, event_time_microseconds)) as oldest_at
        from {origin}
        group by host
    )
    select
        {AT} as collected_at,
        {{log:String}} as log,
        new.host,
        new.rows,
        greatest(new.watermark, before.watermark) as watermark,
        if(before.host = '', 0, greatest(
            0, dateDiff('microsecond', before.watermark, kept.oldest_at) / 1e6
        )) as gap_seconds
    from new
    left join before on before.host = new.host
    left join kept on kept.host = new.host
    """


def unseen_queries(raw: str, origin: str) -> str:
    """CTEs: `secret`, and `unseen`, the log's new rows with what several columns are made of."""
    return f"""
    with
    (select key from {raw}.engine_keys order by created_at limit 1) as secret,
    fresh as (
        select
            * except (databases, tables, partitions),
            greatest(event_time, event_time_microseconds) as logged_at,
            if(
                toUnixTimestamp64Micro(query_start_time_microseconds) = 0,
                logged_at - toIntervalMillisecond(query_duration_ms),
                query_start_time_microseconds
            ) as started_at,
            cityHash64(hostname, query_id, toString(type), logged_at) as log_id,
            replaceRegexpOne(query, '{TAIL}', '') as bare,
            normalizedQueryHash(bare) as shape,
            arrayExists(t -> startsWith(t, {{store:String}}), log.tables) as reads_store,
            arrayFilter(d -> not startsWith(d, {{store:String}}), log.databases) as databases,
            arrayFilter(t -> not startsWith(t, {{store:String}}), log.tables) as tables,
            arrayFilter(p -> not startsWith(p, {{store:String}}), log.partitions) as partitions,
            -- The partition of the result store that was read is named by its answer.
            arrayMax(arrayMap(
                name -> if(
                    startsWith(name, {{store:String}}),
                    toUInt64OrZero(arrayElement(splitByChar('.', name), -1)), 0
                ), log.partitions
            )) as result_id
        from {origin} as log
        where
            event_time >= {SINCE}
            and type != 'QueryStart'
            and not is_internal
            and position(log_comment, {{own:String}}) = 0
        limit 1 by log_id
    ),
    unseen as (
        select * from fresh where log_id not in ({seen(raw, "engine_queries")})
    )"""


def seen(raw: str, target: str) -> str:
    """Identities of the rows that are there already, as a subquery."""
    return f"select log_id from {raw}.{target} where logged_at >= {SINCE}"


def _name(field: str) -> str:
    """A name out of log_comment: as it is if it is one plain word, else its keyed hash."""
    name = f"JSONExtractString(log.log_comment, '{field}')"
    return f"""if(
            {name} = '' or match({name}, '^[A-Za-z0-9_.:/-]{{1,80}}$'), {name},
            concat('#', lower(hex(sipHash64Keyed(secret, {name}))))
        )"""
