{# Of the rows that choose, what those of a key are for: half of the keys, by their hash, choose among
   the models, and the other half calibrates what was chosen. #}
{% macro choice_half(keys) -%}
    if(cityHash64({{ keys }}) % 2 = 0, 'validation', 'calibration')
{%- endmacro %}
