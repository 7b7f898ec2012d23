-- A view: what was lately asked of named queries, and with which arguments.
{%- set horizon = var('prefetch').recent_minutes * 60 %}

select
    log_id,
    event_at,
    dateDiff('millisecond', event_at, {{ present_at() }}) / 1e3 as seconds_ago,
    {{ sequence_key() }} as sequence_key,
    dashboard,
    {{ query_id('shape') }} as query_id,
    result_key,
    name,
    arguments,
    result_id,
    duration_ms,
    run_ms,
    read_bytes,
    {{ allowed_stale_seconds('tables', 'dashboard') }} as allowed_seconds
from {{ ref('stg_queries') }} as queries
inner join (
    select
        result_key,
        name,
        any(engine_calls.arguments) as arguments
    from {{ source('engine', 'engine_calls') }} as engine_calls
    where name != ''
    group by result_key, name
) as calls using (result_key)
where
    {{ is_asked() }}
    and event_at > {{ present_at() }} - toIntervalSecond({{ horizon }})
