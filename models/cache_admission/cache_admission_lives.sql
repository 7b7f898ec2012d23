-- A view: until when each answer could have been served, had it been kept and renewed. It knows
-- what was written later: for labels and replays, never for features.
-- A pass of `cache fill` that finds nothing written since an answer was computed extends its life
-- to what is allowed from that pass on, within the horizon; one at the very moment of a write comes
-- too late.
{%- set pass_us = var('result_cache').pass_seconds * 1000000 %}
{%- set horizon = var('cache_admission_horizon_seconds') %}

with

changes as (

    select
        reads.log_id as log_id,
        min(if(next.number = 0, null, next.written_at)) as changed_at
    from (
        select log_id, event_at, table_name
        from {{ ref('cache_admission_features') }}
        array join tables as table_name
    ) as reads
    asof left join {{ ref('cache_admission_writes') }} as next
        on next.table_name = reads.table_name and next.written_at >= reads.event_at
    group by log_id

),

checked as (

    select
        features.log_id as log_id,
        features.event_at as event_at,
        features.allowed_stale_seconds as allowed_stale_seconds,
        changes.changed_at as changed_at,
        features.event_at + toIntervalSecond({{ horizon }}) as horizon_at,
        toUnixTimestamp64Micro(least(horizon_at, ifNull(changes.changed_at, horizon_at))) - 1
            as before_us,
        fromUnixTimestamp64Micro(before_us - before_us % {{ pass_us }}, 'UTC') as last_pass_at
    from {{ ref('cache_admission_features') }} as features
    inner join changes on changes.log_id = features.log_id

)

select
    log_id,
    changed_at,
    greatest(event_at, last_pass_at)
    + toIntervalMillisecond(toInt64(allowed_stale_seconds * 1000)) as ends_at
from checked
