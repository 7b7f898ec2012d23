{# How far a challenger agrees with the champion, over rows of a key and predict_<use_case>_shadow().
   Pure Jinja, so that Python renders the same text (training/treehouse/experiments/shadow.py).

   decision: SQL over `value`, for example 'value > 100'. Without one, the tier by rank: the best
   hundredth, twentieth, fifth, and the rest, as value_tier() has it. #}
{% macro shadow_agreement(scores, decision=none) %}
with answered as (

    select
        key,
        assumeNotNull(shadow.champion) as champion,
        assumeNotNull(shadow.challenger) as challenger
    from {{ scores }} as scores
    where shadow.difference is not null

),

decided as (

    select
        champion,
        challenger,
        challenger - champion as difference,
        {%- for answer in ('champion', 'challenger') %}
        rank() over (order by {{ answer }}) + count() over (partition by {{ answer }}) / 2
        as {{ answer }}_rank,
        {%- endfor %}
        {%- if decision %}
        arrayMap(value -> toString({{ decision }}), [champion, challenger]) as decisions
        {%- else %}
        arrayMap(
            place -> toString(roundDown((place - 1) / count() over (), [0, 0.01, 0.05, 0.2])),
            [
                row_number() over (order by champion desc, key),
                row_number() over (order by challenger desc, key)
            ]
        ) as decisions
        {%- endif %}
    from answered

)

select
    count() as rows,
    avgOrNull(champion) as champion_mean,
    avgOrNull(challenger) as challenger_mean,
    avgOrNull(difference) as mean_difference,
    avgOrNull(abs(difference)) as mean_absolute_difference,
    quantileOrNull(0.95)(abs(difference)) as p95_absolute_difference,
    {{ _defined('corr(champion, challenger)') }} as correlation,
    {{ _defined('corr(champion_rank, challenger_rank)') }} as rank_correlation,
    avgOrNull(decisions[1] != decisions[2]) as changed_decisions_share
from decided
{% endmacro %}

{% macro _defined(value) -%}
    if(isFinite({{ value }}), {{ value }}, null)
{%- endmacro %}
