{{ config(materialized='table', engine='MergeTree', order_by='user_id') }}

{%- set last_day = (var('ltv_observation_days') | int) - 1 %}

with installs as (

    select * from {{ ref('stg_installs') }}
    where install_day <= (select last_observed_install_day from {{ ref('ltv_observation') }})

),

-- Day 1 is age 0. Nothing after the observation window is read.
observed_days as (

    select
        daily.*,
        daily.day - installs.install_day as age
    from {{ ref('user_daily') }} as daily
    inner join installs on daily.user_id = installs.user_id
    where daily.day between installs.install_day and installs.install_day + {{ last_day }}

),

activity as (

    select
        user_id,
        uniqExactMergeIf(sessions, age = 0) as d1_sessions,
        sumIf(duration_ms, age = 0) as d1_duration,
        sumIf(events, age = 0) as d1_events,
        sumIf(revenue_usd, age = 0) as d1_revenue,
        uniqExactMerge(sessions) as d7_sessions,
        sum(duration_ms) as d7_duration,
        sum(events) as d7_events,
        sum(revenue_usd) as d7_revenue,
        sum(intents) as d7_intents,
        sum(payments) as d7_payments,
        max(largest_payment_usd) as d7_largest_payment,
        uniqExact(day) as d7_active_days,
        max(age) as last_active_age,
        minIf(age, payments > 0) as first_payment_age
    from observed_days
    group by user_id

)

select
    installs.user_id as user_id,
    installs.installed_at as installed_at,
    installs.install_day as install_day,
    activity.d1_sessions as d1_sessions,
    activity.d1_duration as d1_duration,
    activity.d1_events as d1_events,
    toFloat64(activity.d1_revenue) as d1_revenue,
    activity.d7_sessions as d7_sessions,
    activity.d7_duration as d7_duration,
    activity.d7_events as d7_events,
    toFloat64(activity.d7_revenue) as d7_revenue,
    activity.d7_intents as d7_intents,
    activity.d7_payments as d7_payments,
    toFloat64(activity.d7_largest_payment) as d7_largest_payment,
    toUInt8(activity.d7_active_days) as d7_active_days,
    if(activity.d7_events = 0, null, toUInt8(activity.last_active_age)) as last_active_age,
    if(activity.d7_payments = 0, null, toUInt8(activity.first_payment_age)) as first_payment_age,
    installs.campaign_id as campaign_id,
    installs.ad_creative_id as ad_creative_id,
    installs.country as country,
    installs.platform as platform,
    installs.device_type as device_type,
    installs.os_version as os_version,
    installs.install_hour as install_hour
from installs
left join activity on installs.user_id = activity.user_id
