-- Whether an experiment can be believed, before anybody reads its results. Sample-ratio mismatch:
-- chi-square of the units against the weights; below 1 in 1,000 the assignment or the logging is
-- broken (Fabijan et al. 2019).
with counted as (

    select
        experiment,
        sumMap(map(first_variant, toUInt64(not is_in_two_variants))) as units_of,
        countIf(is_in_two_variants) as units_in_two_variants,
        count() as units_seen
    from {{ ref('experiment_exposures') }}
    group by experiment

),

logged as (

    select
        experiment,
        uniqExact(unit) as units_logged
    from {{ source('registry', 'exposures') }}
    group by experiment

),

compared as (

    select
        definitions.experiment as experiment,
        definitions.state as state,
        definitions.is_shadow as is_shadow,
        definitions.started_at as started_at,
        definitions.stopped_at as stopped_at,
        definitions.variants as variants,
        definitions.weights as weights,
        definitions.planned_units as planned_units,
        definitions.method as method,
        definitions.was_changed as was_changed,
        arrayMap(variant -> counted.units_of[variant], definitions.variants) as units_by_variant,
        arraySum(units_by_variant) as units,
        counted.units_in_two_variants as units_in_two_variants,
        logged.units_logged - counted.units_seen as units_refused,
        arrayMap(weight -> units * weight, definitions.weights) as expected,
        arraySum(arrayMap(
            (seen, wanted) -> pow(seen - wanted, 2) / wanted, units_by_variant, expected
        )) as chi_square,
        toUInt32(length(definitions.variants) - 1) as degrees,
        {{ chi_square_p_value('chi_square', 'degrees') }} as p_value
    from {{ ref('experiment_definitions') }} as definitions
    left join counted on definitions.experiment = counted.experiment
    left join logged on definitions.experiment = logged.experiment

)

select
    experiment,
    state,
    started_at,
    stopped_at,
    variants,
    weights,
    units_by_variant,
    units,
    planned_units,
    method,
    if(units = 0, null, chi_square) as srm_statistic,
    if(units = 0, null, p_value) as srm_p_value,
    ifNull(srm_p_value < 0.001, false) as has_sample_ratio_mismatch,
    units_in_two_variants,
    units_refused,
    was_changed,
    arrayFilter(warning -> warning != '', [
        if(has_sample_ratio_mismatch, 'sample ratio mismatch: the results can not be trusted', ''),
        if(was_changed, 'the definition was changed after the start', ''),
        if(units_in_two_variants = 0, '', format(
            '{} units saw two variants and are left out', toString(units_in_two_variants)
        )),
        if(units_refused = 0, '', format(
            '{} units were logged with an unknown variant, before the start or after the stop',
            toString(units_refused)
        )),
        if(units = 0 and not is_shadow, 'nobody was exposed yet', '')
    ]) as warnings
from compared
