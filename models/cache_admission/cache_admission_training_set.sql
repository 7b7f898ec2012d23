-- A result is worth keeping if the same is asked again while it may be served: until the first
-- write into its tables, and then for as long as their owner lets it be behind. Both are known a
-- horizon later. The newest fifth of the time is the test; what chooses ends a horizon before it,
-- and so does training before that.
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
        least({{ horizon }}, dateDiff('microsecond', event_at, ends_at) / 1e6) as ttl_seconds,
        dateDiff('microsecond', event_at, again_at) / 1e6 as again_seconds
    from {{ ref('cache_admission_features') }}
    inner join {{ ref('cache_admission_lives') }} using (log_id)
    -- Every row has one. Two inner joins by one name are a logical error of some releases (26.7).
    left join again using (log_id)

)

select
    known.* except (changed_at, ends_at, again_at, again_seconds),
    toUInt8(ifNull(again_seconds <= ttl_seconds, false)) as is_reused,
    if(is_reused, assumeNotNull(again_seconds), ttl_seconds) as kept_seconds,
    event_at + toIntervalSecond({{ horizon }}) as label_known_at,
    multiIf(
        event_at > bounds.test_begins, 'test',
        event_at > bounds.choice_begins and event_at <= bounds.choice_ends,
        {{ choice_half('result_key') }},
        event_at <= bounds.training_ends, 'train',
        'unused'
    ) as split
from known
cross join bounds
where event_at <= bounds.mature_until
