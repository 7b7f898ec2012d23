-- Only users whose whole horizon has passed. The split is by time: the newest fifth of the
-- installs is the test, the fifth before it chooses and calibrates the model.
{{ config(materialized='table', engine='MergeTree', order_by='user_id') }}

{%- set last_day = (var('ltv_horizon_days') | int) - 1 %}

with mature as (

    select * from {{ ref('ltv_features') }}
    where install_day <= (select last_mature_install_day from {{ ref('ltv_observation') }})

),

labels as (

    select
        daily.user_id as labelled_user,
        toFloat64(sum(daily.revenue_usd)) as d90_ltv
    from {{ ref('user_daily') }} as daily
    inner join mature on daily.user_id = mature.user_id
    where daily.day between mature.install_day and mature.install_day + {{ last_day }}
    group by labelled_user

),

boundaries as (

    select quantilesExact(0.6, 0.8)(installed_at) as at -- noqa: LT01
    from mature

)

select
    mature.*,
    labels.d90_ltv as d90_ltv,
    multiIf(
        mature.installed_at <= boundaries.at[1], 'train',
        mature.installed_at > boundaries.at[2], 'test',
        cityHash64(mature.user_id) % 2 = 0, 'validation',
        'calibration'
    ) as split,
    labels.d90_ltv > {{ var('ltv_outlier_usd') }} as is_outlier
from mature
left join labels on mature.user_id = labels.labelled_user
cross join boundaries
