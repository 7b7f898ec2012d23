-- A row for each query that was asked of tables that the configuration names. It is judged when it
-- has run: its own measures are known, of others only what was asked or written before it began.
{{ config(materialized='table', engine='MergeTree', order_by='(event_at, log_id)') }}

with

asked as (

    select
        *,
        toUnixTimestamp64Milli(event_at) as asked_ms,
        {{ allowed_stale_seconds('tables', 'dashboard') }} as allowed
    from {{ ref('stg_queries') }}
    where kind = 'Select' and exception_code = 0 and notEmpty(tables) and allowed > 0

),

-- The newest query is the present.
recent as (

    select *
    from asked
    where
        event_at > (select max(event_at) from asked)
        - toIntervalDay({{ var('cache_admission_history_days') }})

),

history as (

    select
        *,
        count() {{ asked_before('result_key', 604800) }} as requests_7d,
        count() {{ asked_before('result_key', 86400) }} as requests_1d,
        count() {{ asked_before('result_key', 3600) }} as requests_1h,
        count() {{ asked_before('result_key, user_key', 3600) }} as own_requests_1h,
        count() {{ asked_before('shape', 86400) }} as shape_requests_1d,
        uniq(result_key) {{ asked_before('shape', 86400) }} as shape_texts_1d,
        count() {{ asked_before('dashboard', 3600) }} as dashboard_requests_1h,
        -- Null where there was none.
        (asked_ms - max(toNullable(asked_ms)) {{ asked_before('result_key', 604800) }}) / 1e3
            as seconds_since_last,
        (asked_ms - min(toNullable(asked_ms)) {{ asked_before('result_key', 604800) }}) / 1e3
            as seconds_since_first,
        avg(toNullable(duration_ms)) {{ asked_before('result_key', 604800) }} as mean_duration_ms
    from recent

),

-- Of each table: when it was last written, and how often it had been an hour and a day before.
volatility as (

    select
        reads.log_id as log_id,
        max(toUnixTimestamp64Milli(latest.written_at)) as written_ms,
        sum(latest.number - an_hour_ago.number) as writes_1h,
        sum(latest.number - a_day_ago.number) as writes_1d
    from (
        select
            log_id,
            table_name,
            event_at,
            event_at - toIntervalHour(1) as hour_before,
            event_at - toIntervalDay(1) as day_before
        from history
        array join arrayMap(t -> toString(t), tables) as table_name
    ) as reads
    asof join {{ ref('cache_admission_writes') }} as latest
        on latest.table_name = reads.table_name and latest.written_at < reads.event_at
    asof left join {{ ref('cache_admission_writes') }} as an_hour_ago
        on an_hour_ago.table_name = reads.table_name and an_hour_ago.written_at < reads.hour_before
    asof left join {{ ref('cache_admission_writes') }} as a_day_ago
        on a_day_ago.table_name = reads.table_name and a_day_ago.written_at < reads.day_before
    group by log_id

)

select
    history.log_id as log_id,
    history.event_at as event_at,
    history.result_key as result_key,
    history.shape as shape,
    history.panel as panel,
    arrayMap(t -> toString(t), history.tables) as tables,
    history.dashboard as dashboard,
    history.duration_ms as duration_ms,
    history.read_bytes as read_bytes,
    history.result_rows as result_rows,
    history.result_bytes as result_bytes,
    history.memory_bytes as memory_bytes,
    history.mean_duration_ms as mean_duration_ms,
    history.requests_1h as requests_1h,
    history.requests_1d as requests_1d,
    history.requests_7d as requests_7d,
    history.own_requests_1h as own_requests_1h,
    history.seconds_since_last as seconds_since_last,
    history.seconds_since_first as seconds_since_first,
    history.shape_requests_1d as shape_requests_1d,
    history.shape_texts_1d as shape_texts_1d,
    history.dashboard_requests_1h as dashboard_requests_1h,
    toUInt8(toHour(history.event_at, '{{ var("time_zone") }}')) as hour_of_day,
    toUInt8(toDayOfWeek(history.event_at, 0, '{{ var("time_zone") }}')) as weekday,
    toUInt16(shapes.joins) as joins,
    toUInt16(shapes.aggregates) as aggregates,
    toUInt16(shapes.conditions) as conditions,
    shapes.time_range as time_range,
    toUInt8(shapes.is_deterministic) as is_deterministic,
    if(volatility.written_ms = 0, null, (history.asked_ms - volatility.written_ms) / 1e3)
        as seconds_since_write,
    toInt64(volatility.writes_1h) as writes_1h,
    toInt64(volatility.writes_1d) as writes_1d,
    history.allowed as allowed_stale_seconds
from history
left join volatility on volatility.log_id = history.log_id
left join {{ ref('stg_query_shapes') }} as shapes on shapes.shape = history.shape
