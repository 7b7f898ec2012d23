{# The name of a query without its literals, as a whole number below 2^53: the first bits of its
   hash. Models answer Float64, which holds such a number exactly. #}
{% macro query_id(shape) -%}
    bitShiftRight({{ shape }}, 11)
{%- endmacro %}

{# Of a model's answer, the most likely queries and their shares, the most likely first; none where
   no version answers. #}
{% macro next_queries(prediction) -%}
    {%- set pairs = [] -%}
    {%- for place in range(1, 6) -%}
        {%- do pairs.append(
            '(toUInt64(ifNull(' ~ prediction ~ '.next_' ~ place ~ ', 0)), '
            ~ 'ifNull(' ~ prediction ~ '.share_' ~ place ~ ', 0.))'
        ) -%}
    {%- endfor -%}
    arrayFilter(next -> next.1 > 0, [{{ pairs | join(', ') }}])
{%- endmacro %}
