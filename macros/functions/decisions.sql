{# A tier by rank: the best hundredth, twentieth, fifth, and the rest. #}
{% macro value_tier(value, key) -%}
    {%- set rank_share -%}
        (row_number() over (order by {{ value }} desc, {{ key }}) - 1) / count() over ()
    {%- endset -%}
    multiIf(
        {{ rank_share }} < 0.01, 'platinum',
        {{ rank_share }} < 0.05, 'gold',
        {{ rank_share }} < 0.20, 'silver',
        'bronze'
    )
{%- endmacro %}

{# The name of the class that a model of the task "classes" decided for, of the number that it
   answers first. The heads after the first name the classes; further labels come after them. #}
{% macro predicted_class(use_case, value) -%}
    {%- set names = feature_contract(use_case).heads[1:] if execute else [''] -%}
    arrayElementOrNull({{ string_array(names) }}, toUInt8(ifNull({{ value }}, 254)) + 1)
{%- endmacro %}
