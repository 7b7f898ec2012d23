-- What each unit did after its exposure and before it. The large table of outcomes streams past a
-- hash table of the units; units that did nothing come from the exposures.
{#- The linter knows no vars. #}
{%- set metrics = var('experiment_metrics') if var('experiment_metrics') is mapping else {} %}
{%- set names = metrics.keys() | list %}
{%- set kinds = [] %}
{%- for metric in metrics.values() %}{% do kinds.append(metric.kind or 'mean') %}{% endfor %}

with exposed as (

    select
        exposures.experiment as experiment,
        metric,
        exposures.unit as unit,
        exposures.first_variant as variant,
        exposures.first_seen_at as exposed_at,
        definitions.stopped_at as stopped_at,
        definitions.pre_days as pre_days
    from {{ ref('experiment_exposures') }} as exposures
    inner join {{ ref('experiment_definitions') }} as definitions
        on exposures.experiment = definitions.experiment
    array join definitions.metrics as metric
    where not exposures.is_in_two_variants

),

outcomes as (

    select
        exposed.experiment as experiment,
        exposed.metric as metric,
        exposed.unit as unit,
        exposed.variant as variant,
        outcomes.value as value,
        outcomes.denominator as denominator,
        isFinite(outcomes.value) and isFinite(outcomes.denominator) as is_finite,
        outcomes.happened_at >= exposed.exposed_at as is_after
    from {{ ref('experiment_outcomes') }} as outcomes
    inner join exposed on outcomes.metric = exposed.metric and outcomes.unit = exposed.unit
    where
        outcomes.happened_at >= exposed.exposed_at - toIntervalDay(exposed.pre_days)
        and outcomes.happened_at <= ifNull(exposed.stopped_at, toDateTime64('2299-12-31', 3, 'UTC'))

),

summed as (

    select
        experiment,
        metric,
        transform(metric, {{ string_array(names) }}, {{ string_array(kinds) }}, '') as kind,
        unit,
        variant,
        sumIf(value, is_finite and is_after) as sum_after,
        sumIf(denominator, is_finite and is_after) as denominator_after,
        sumIf(value, is_finite and not is_after) as sum_before,
        sumIf(denominator, is_finite and not is_after) as denominator_before,
        countIf(not is_finite) as outcomes_not_finite
    from (
        select * from outcomes
        union all
        select
            experiment,
            metric,
            unit,
            variant,
            0. as value,
            0. as denominator,
            true as is_finite,
            true as is_after
        from exposed
    )
    group by experiment, metric, unit, variant

)

select
    experiment,
    metric,
    kind,
    unit,
    variant,
    if(kind = 'rate', toFloat64(sum_after > 0), sum_after) as outcome,
    if(kind = 'ratio', denominator_after, 1) as denominator,
    if(kind = 'rate', toFloat64(sum_before > 0), sum_before) as pre_outcome,
    if(kind = 'ratio', denominator_before, 1) as pre_denominator,
    outcomes_not_finite
from summed
