-- The materialized view holds what the events hold.
select
    (select count() from {{ source_rows('events') }}) as events,
    (select sum(events) from {{ ref('user_daily') }}) as counted,
    (select sum(revenue_usd) from {{ source_rows('events') }}) as revenue_usd,
    (select sum(revenue_usd) from {{ ref('user_daily') }}) as summed_usd
where events != counted or revenue_usd != summed_usd
