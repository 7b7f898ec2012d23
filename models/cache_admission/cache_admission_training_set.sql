-- A result is worth keeping if the same is asked again while it may be served: until its tables
-- change, and no longer than their owner lets it be behind. Both are known a horizon later. The
-- newest fifth of the time is the test; what chooses ends a horizon before it, and so does training
-- before that.
{{ config(materialized='table', engine='MergeTree', order_by='(event_at, log_id)') }}

{%- set horizon = var('cache_admission_horizon_seconds') %}

with

bounds as (

    select
        min(event_at) as first_at,
        max(event_at) as last_at,
        last_at - toIntervalSecond({{ horizon }}) as mature_until,
        -- What the two horizons between the parts leave.
        greatest(0, dateDiff('second', first_at, mature_until) - 2 * {{ horizon }})
            as usable_seconds,
        mature_until - toIntervalSecond(intDiv(usable_seconds, 5)) as test_begins,
        test_begins - toIntervalSecond({{ horizon }}) as choice_ends,
        choice_ends - toIntervalSecond(intDiv(usable_seconds, 5)) as choice_begins,
        choice_begins - toIntervalSecond({{ horizon }}) as training_ends
    from {{ ref('cache_admission_features') }}
    having count() > 0

),

changes as (

    select
        reads.log_id as log_id,
        min(if(
            next.number = 0, null, dateDiff('microsecond', reads.event_at, next.written_at) / 1e6
        )) as change_seconds
    from (
        select log_id, event_at, table_name
        from {{ ref('cache_admission_features') }}
        array join tables as table_name
    ) as reads
    asof left join {{ ref('cache_admission_writes') }} as next
        on next.table_name = reads.table_name and next.written_at >= reads.event_at
    group by log_id

),

again as (

    select
        log_id,
        leadInFrame(toNullable(event_at), 1) over (
            partition by result_key order by event_at, log_id
            rows between current row and 1 following
        ) as again_at
    from {{ ref('cache_admission_features') }}

),

known as (

    select
        *,
        least(ifNull(change_seconds, {{ horizon }}), {{ horizon }}) as ttl_seconds
    from {{ ref('cache_admission_features') }}
    left join changes using (log_id)
    left join again using (log_id)

)

select
    known.* except (change_seconds, again_at),
    toUInt8(ifNull(
        dateDiff('microsecond', event_at, again_at) / 1e6
        <= least(allowed_stale_seconds, ttl_seconds), 0
    )) as is_reused,
    event_at + toIntervalSecond({{ horizon }}) as label_known_at,
    multiIf(
        event_at > bounds.test_begins, 'test',
        event_at > bounds.choice_begins and event_at <= bounds.choice_ends,
        if(cityHash64(result_key) % 2 = 0, 'validation', 'calibration'),
        event_at <= bounds.training_ends, 'train',
        'unused'
    ) as split
from known
cross join bounds
where event_at <= bounds.mature_until
