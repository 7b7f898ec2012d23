-- What the units did, one metric after the other, from the var experiment_metrics. A view: nothing
-- is copied, and a metric that is not asked for is not read.
{#- The linter knows no vars. #}
{%- set metrics = var('experiment_metrics') if var('experiment_metrics') is mapping else {} %}
{% for name, metric in metrics.items() %}
select
    '{{ escape_literal(name) }}' as metric,
    assumeNotNull(outcome_unit) as unit,
    assumeNotNull(outcome_at) as happened_at,
    assumeNotNull(outcome_value) as value,
    ifNull(outcome_denominator, nan) as denominator
from (
    select
        toString({{ metric.unit }}) as outcome_unit,
        toDateTime64({{ metric.time }}, 3, 'UTC') as outcome_at,
        toFloat64({{ metric.value }}) as outcome_value,
        toFloat64({{ metric.denominator or 1 }}) as outcome_denominator
    from {{ metric.relation if '.' in metric.relation else ref(metric.relation) }}
)
where outcome_unit is not null and outcome_at is not null and outcome_value is not null
{% if not loop.last %}union all{% endif %}
{% endfor %}
