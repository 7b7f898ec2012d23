-- Only users whose whole horizon has passed. The split is by time: the newest fifth of the
-- installs is the test. What is fitted has labels that were known when the first of them came, as
-- it will be in service; the users in between, whose labels reach into the test's days, are not
-- used (fewer of them where history is short: see ltv_history). Of the fitted rows, the newest
-- quarter chooses and calibrates the model.
{{ config(materialized='table', engine='MergeTree', order_by='user_id') }}

{%- set last_day = (var('ltv_horizon_days') | int) - 1 %}

with mature as (

    select
        *,
        toDateTime(
            install_day + {{ var('ltv_horizon_days') }}, '{{ var('time_zone') }}'
        ) as label_known_at
    from {{ ref('ltv_features') }}
    where install_day <= (select last_mature_install_day from {{ ref('ltv_observation') }})

),

labels as (

    select
        daily.user_id as labelled_user,
        toFloat64(sum(daily.revenue_usd)) as ltv_usd
    from {{ ref('user_daily') }} as daily
    inner join mature on daily.user_id = mature.user_id
    where daily.day between mature.install_day and mature.install_day + {{ last_day }}
    group by labelled_user

),

test as (

    select quantileExact(0.8)(installed_at) as begins from mature -- noqa: LT01

),

placed as (

    select
        mature.*,
        installed_at > (select begins from test) as is_test,
        install_day + (select embargo_days from {{ ref('ltv_history') }}) <= toDate(
            (select begins from test), '{{ var('time_zone') }}'
        ) as is_fitted
    from mature

),

choice as (

    select quantileExactIf(0.75)(installed_at, is_fitted) as begins from placed -- noqa: LT01

)

select
    placed.* except (is_test, is_fitted),
    labels.ltv_usd as ltv_usd,
    multiIf(
        is_test, 'test',
        not is_fitted, 'unused',
        installed_at <= (select begins from choice), 'train',
        {{ choice_half('user_id') }}
    ) as split,
    labels.ltv_usd > {{ var('ltv_outlier_usd') }} as is_outlier
from placed
left join labels on placed.user_id = labels.labelled_user
