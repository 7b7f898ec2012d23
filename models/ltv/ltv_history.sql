-- What the history is long enough for. The embargo is shortened, within its bounds, where it would
-- leave too few users to be fitted: labels of theirs then reach into the days of the test. The
-- horizon is never changed: a shorter one is another label.
{{ config(materialized='table', engine='MergeTree', order_by='history_days') }}

{%- set horizon = var('ltv_horizon_days') %}
{%- set least_embargo = var('ltv_embargo_least_days') %}
{%- set zone = var('time_zone') %}

with

installs as (

    select
        min(install_day) as first_day,
        count() as users
    from {{ ref('stg_installs') }}
    where install_day <= (select last_complete_day from {{ ref('ltv_observation') }})

),

mature as (

    select installed_at, install_day
    from {{ ref('ltv_features') }}
    where install_day <= (select last_mature_install_day from {{ ref('ltv_observation') }})

),

test as (

    select toDate(quantileExact(0.8)(installed_at), '{{ zone }}') as first_day -- noqa: LT01
    from mature

),

-- Those who are to be fitted whatever it takes.
earliest as (

    select max(install_day) as last_day
    from (
        select install_day from mature
        order by installed_at
        limit {{ var('ltv_fitted_users') }}
    )

)

select
    dateDiff('day', installs.first_day, observation.last_complete_day) + 1 as history_days,
    installs.users / history_days as users_a_day,
    -- 480 users of whom a quarter, halved, validates and calibrates; a fifth of all is the test.
    toUInt32(ceil((480 / users_a_day + {{ least_embargo }}) / 0.8)) as install_days_needed,
    {{ horizon }} + install_days_needed as needed_days,
    'ltv_horizon_days' as variable,
    toInt64(history_days) - install_days_needed as fitting_value,
    {{ var('ltv_observation_days') }} + 1 as least_value,
    greatest(
        least(
            toInt64({{ var('ltv_embargo_days') }}), toInt64(test.first_day - earliest.last_day)
        ),
        toInt64({{ least_embargo }})
    ) as embargo_days,
    if(
        embargo_days < {{ var('ltv_embargo_days') }},
        concat(
            'the embargo is ', toString(embargo_days), ' days in place of ',
            '{{ var("ltv_embargo_days") }} (ltv_embargo_days, ltv_embargo_least_days), to leave ',
            'up to {{ var("ltv_fitted_users") }} users to be fitted (ltv_fitted_users)',
            if(
                embargo_days < {{ horizon }},
                concat(
                    ': their labels reach up to ', toString({{ horizon }} - embargo_days),
                    ' days into the test, whose figures may be a little too good'
                ),
                ''
            )
        ),
        ''
    ) as note
from {{ ref('ltv_observation') }} as observation
cross join installs
cross join test
cross join earliest
where installs.users > 0
