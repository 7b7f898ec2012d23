-- A part that a query wrote has the query's time, which a simulated workload sets.
with

writers as (
    select query_key, min(event_at) as event_at
    from {{ source('engine', 'engine_queries') }}
    where kind not in ('Select', '')
    group by query_key
)

select
    events.log_id,
    events.host,
    if(writers.event_at > toDateTime64(0, 6), writers.event_at, events.logged_at) as event_at,
    events.logged_at,
    events.event,
    events.query_key,
    events.database,
    events.table,
    concat(events.database, '.', events.table, '.', events.partition_id) as partition_name,
    events.row_count,
    events.bytes,
    events.disk,
    events.error_code
from {{ source('engine', 'engine_part_events') }} as events
left join writers on writers.query_key = events.query_key
