-- Live: each query computes what was seen up to now. The statistics and their sources are in
-- macros/statistics/experiments.sql.
with results as (

    {{ experiment_statistics(
        ref('experiment_units'), ref('experiment_definitions'), var('experiment_alphas')
    ) | indent(4) }}

),

variants as (

    select
        experiment,
        metric,
        variant,
        metric = definitions.metrics[1] as is_primary,
        variant = definitions.variants[1] as is_control
    from {{ ref('experiment_definitions') }} as definitions
    array join definitions.metrics as metric
    array join definitions.variants as variant

)

select
    variants.experiment as experiment,
    variants.metric as metric,
    variants.is_primary as is_primary,
    if(results.units = 0, 'unadjusted', results.estimate) as estimate,
    variants.variant as variant,
    variants.is_control as is_control,
    results.units as units,
    if(results.units = 0, null, results.mean) as mean,
    if(results.units = 0, 'no data', results.verdict) as verdict,
    results.* except (experiment, metric, estimate, variant, is_control, units, mean, verdict)
from variants
left join results
    on
        variants.experiment = results.experiment
        and variants.metric = results.metric
        and variants.variant = results.variant
