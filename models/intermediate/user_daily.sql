-- What each user did on each day, kept up to date as events arrive. States merge in any order,
-- and money is decimal: late and shuffled inserts end in the same numbers as a rebuild.
{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree',
    order_by='(user_id, day)',
    partition_by='toYYYYMM(day)',
) }}
{%- set columns = [
    'user_id', 'event_name', 'event_at', 'session_id', 'duration_ms', 'revenue_usd',
] %}

select
    user_id,
    toDate(event.event_at, '{{ var("time_zone") }}') as day,
    sumSimpleState(toUInt64(1)) as events,
    uniqExactState(nullIf(event.session_id, '')) as sessions,
    sumSimpleState(
        toUInt64(event.event_name in {{ string_list(var('intent_events')) }})
    ) as intents,
    sumSimpleState(event.duration_ms) as duration_ms,
    sumSimpleState(event.revenue_usd) as revenue_usd,
    sumSimpleState(toUInt64(event.revenue_usd > 0)) as payments,
    maxSimpleState(event.revenue_usd) as largest_payment_usd
from {{ source_rows('events', columns) }} as event
group by user_id, day
