-- Who saw what, and when first. What does not belong is counted in experiment_health.
with exposures as (

    select
        exposures.experiment as experiment,
        exposures.unit as unit,
        exposures.variant as variant,
        exposures.first_seen_at as seen_at
    from {{ source('registry', 'exposures') }} as exposures
    inner join {{ ref('experiment_definitions') }} as definitions
        on exposures.experiment = definitions.experiment
    where
        has(definitions.variants, exposures.variant)
        and exposures.unit != ''
        and exposures.first_seen_at >= toDateTime64(definitions.started_at, 3, 'UTC')
        and exposures.first_seen_at
        <= toDateTime64(ifNull(definitions.stopped_at, '2299-12-31'), 3, 'UTC')

)

select
    experiment,
    unit,
    argMin(variant, seen_at) as first_variant,
    min(seen_at) as first_seen_at,
    uniqExact(variant) > 1 as is_in_two_variants
from exposures
group by experiment, unit
