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

{# A list of strings as SQL: ('a', 'b'). #}
{% macro string_list(values) -%}
    ('{{ values | map('replace', "'", "\\'") | join("', '") }}')
{%- endmacro %}
