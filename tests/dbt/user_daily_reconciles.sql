-- The materialized view holds what the events hold, day by day, by the vars as they are now.
{{ config(meta={'fix': './treehouse reconcile --repair'}) }}
with
loaded as (
    select
        toDate(event_at, '{{ var("time_zone") }}') as day,
        count() as events,
        countIf(event_name in {{ string_list(var('intent_events')) }}) as intents,
        sum(revenue_usd) as revenue_usd
    from {{ source_rows('events', ['event_name', 'event_at', 'revenue_usd']) }}
    group by day
),

kept as (
    select day, sum(events) as events, sum(intents) as intents, sum(revenue_usd) as revenue_usd
    from {{ ref('user_daily') }}
    group by day
)

select
    day,
    loaded.events, kept.events,
    loaded.intents, kept.intents,
    loaded.revenue_usd, kept.revenue_usd
from loaded
full outer join kept using (day)
where
    loaded.events != kept.events
    or loaded.intents != kept.intents
    or loaded.revenue_usd != kept.revenue_usd
