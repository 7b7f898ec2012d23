-- The days up to which the data is complete: the last day seen is still going on.
select
    max(day) - 1 as last_complete_day,
    last_complete_day - {{ var('ltv_observation_days') }} + 1 as last_observed_install_day,
    last_complete_day - {{ var('ltv_horizon_days') }} + 1 as last_mature_install_day
from {{ ref('user_daily') }}
having count() > 0 -- without an event no day is known to be over
