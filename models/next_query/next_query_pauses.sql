-- How likely a sequence asks again, by its latest query and for how long it has been silent:
-- counted where the horizon was over when the log ended.
{{ config(materialized='table', engine='MergeTree', order_by='(query_id, silent_power)') }}

{%- set horizon = var('next_query_horizon_minutes') * 60 %}

with

followed as (

    select
        features.query_id as query_id,
        features.asked_at as asked_at,
        leadInFrame(toNullable(features.asked_at)) over (
            partition by features.sequence_key order by features.asked_at, features.log_id
            rows between current row and 1 following
        ) as next_at
    from {{ ref('next_query_features') }} as features

),

paused as (

    select
        query_id,
        ifNull(dateDiff('millisecond', asked_at, next_at) / 1e3, inf) as pause_seconds
    from followed
    where asked_at <= (select max(asked_at) from followed) - toIntervalSecond({{ horizon }})

)

select
    query_id,
    toUInt8(power) as silent_power,
    count() as pauses,
    -- One of each is counted beforehand, so that a few pauses don't make certain.
    (countIf(pause_seconds <= {{ horizon }}) + 1) / (pauses + 2) as follows_share
from paused
array join range(toUInt8(ceil(log2({{ horizon }})))) as power
where pause_seconds > if(power = 0, 0, exp2(power))
group by query_id, power
