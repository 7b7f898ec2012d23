{# Storage tiering: what a tier costs by the price list, as SQL (the same formulas as
   training/treehouse/platform/tiering/prices.py), tier_decision(), and the log of moves. #}

{# A value of var `tiering`. What the models call is text before dbt executes, as for a linter. #}
{% macro tiering_var(name) %}
    {{- return(var('tiering')[name] if execute else '1') -}}
{% endmacro %}

{% macro tiers_minimum_days() %}
    {{- return(var('storage_tiers') | map(attribute='minimum_days') | list if execute else [0]) -}}
{% endmacro %}

{# The volumes, from hot to cold. #}
{% macro tier_volumes() %}
    {%- set found = [] -%}
    {%- for tier in tier_names() if execute -%}
        {%- do found.append(var('tiering').volumes[tier]) -%}
    {%- endfor -%}
    {{- return(found) -}}
{% endmacro %}

{# A column for each tier: its probability, by the name that `from` has for it. #}
{% macro tier_shares(from) %}
    {%- set found = [] -%}
    {%- for tier in tier_names() -%}
        {%- do found.append(from ~ tier ~ ' as share_' ~ tier) -%}
    {%- endfor -%}
    {{- return(found | join(', ')) -}}
{% endmacro %}

{% macro tier_names() %}
    {%- if not execute -%} {{- return(['hot']) -}} {%- endif -%}
    {{- return(var('storage_tiers') | map(attribute='name') | list) -}}
{% endmacro %}

{# Tables that may be learned from and moved, and the factor of their sizes. #}
{% macro tiering_tables() %}
    {%- if not execute -%} {{- return("('')") -}} {%- endif -%}
    {{- return(string_list(var('tiering').tables or {'': 1})) -}}
{% endmacro %}

{% macro tiering_size_factor(table) %}
    {%- if not execute -%} {{- return('1.') -}} {%- endif -%}
    {%- set tables = var('tiering').tables or {'': 1} -%}
    {{- return(
        'transform(toString(' ~ table ~ "), ['" ~ tables | join("', '") ~ "'], ["
        ~ tables.values() | join(', ') ~ '], 1.)'
    ) -}}
{% endmacro %}

{# USD that each tier bills for a time, an array from hot to cold, without moves. `bytes` lie there
   for `days`; the rest are totals over these days. #}
{% macro tiers_bill_usd(bytes, days, reads, read_bytes, writes=0, written_bytes=0) %}
    {%- if not execute -%} {{- return('[1.]') -}} {%- endif -%}
    {%- set piece = var('storage_request_mb') * 1e6 -%}
    {%- set found = [] -%}
    {%- for tier in var('storage_tiers') -%}
        {%- do found.append(
            bytes ~ ' / 1e9 * ' ~ tier.usd_per_gb_month ~ ' * ' ~ days ~ ' * 24 / 730'
            ~ ' + greatest(' ~ reads ~ ', ' ~ read_bytes ~ ' / ' ~ piece ~ ') * '
            ~ tier.usd_per_1000_reads ~ ' / 1000'
            ~ ' + ' ~ read_bytes ~ ' / 1e9 * ' ~ tier.usd_per_gb_read
            ~ ' + greatest(' ~ writes ~ ', ' ~ written_bytes ~ ' / ' ~ piece ~ ') * '
            ~ tier.usd_per_1000_writes ~ ' / 1000'
        ) -%}
    {%- endfor -%}
    {{- return('[' ~ found | join(', ') ~ ']') -}}
{% endmacro %}

{# Hours that reads wait in each tier longer than in the first, an array from hot to cold. #}
{% macro tiers_waiting_hours(reads, read_bytes) %}
    {%- if not execute -%} {{- return('[1.]') -}} {%- endif -%}
    {%- set first = var('storage_tiers')[0] -%}
    {%- set found = [] -%}
    {%- for tier in var('storage_tiers') -%}
        {%- do found.append(
            'greatest(0, ' ~ reads ~ ' * ' ~ (tier.first_byte_ms - first.first_byte_ms) / 1e3
            ~ ' + ' ~ read_bytes ~ ' * ' ~ (1 / tier.mb_per_second - 1 / first.mb_per_second) / 1e6
            ~ ') / 3600'
        ) -%}
    {%- endfor -%}
    {{- return('[' ~ found | join(', ') ~ ']') -}}
{% endmacro %}

{# USD of taking bytes out of each tier, and of putting them there: arrays from hot to cold. #}
{% macro tiers_leave_usd(bytes) %}
    {%- if not execute -%} {{- return('[1.]') -}} {%- endif -%}
    {%- set pieces = 'ceil(' ~ bytes ~ ' / ' ~ var('storage_request_mb') * 1e6 ~ ')' -%}
    {%- set found = [] -%}
    {%- for tier in var('storage_tiers') -%}
        {%- do found.append(
            pieces ~ ' * ' ~ tier.usd_per_1000_reads ~ ' / 1000 + ' ~ bytes ~ ' / 1e9 * '
            ~ tier.usd_per_gb_read
        ) -%}
    {%- endfor -%}
    {{- return('[' ~ found | join(', ') ~ ']') -}}
{% endmacro %}

{% macro tiers_enter_usd(bytes) %}
    {%- if not execute -%} {{- return('[1.]') -}} {%- endif -%}
    {%- set pieces = 'ceil(' ~ bytes ~ ' / ' ~ var('storage_request_mb') * 1e6 ~ ')' -%}
    {%- set found = [] -%}
    {%- for tier in var('storage_tiers') -%}
        {%- do found.append(pieces ~ ' * ' ~ tier.usd_per_1000_writes ~ ' / 1000') -%}
    {%- endfor -%}
    {{- return('[' ~ found | join(', ') ~ ']') -}}
{% endmacro %}

{# tier_decision(tier, <features>): the tier of the least expected cost, by the promoted version of
   storage_tiering; the tier that the partition is in while nothing is promoted. #}
{% macro create_tier_decision() %}
    {% if execute %}
        {% set contract = feature_contract('storage_tiering') %}
        {% set arguments = _arguments(contract) %}
        {% set call = 'predict_storage_tiering(' ~ arguments | join(', ') ~ ')' %}
        {% set answer = 'ifNull(' ~ predicted_class('storage_tiering', call) ~ ', treehouse_tier)' %}
        {% do run_query(_create_function('tier_decision', ['treehouse_tier'] + arguments, answer)) %}
    {% endif %}
{% endmacro %}

{% macro tier_decision(tier, relation=none) %}
    {%- if not execute -%} {{- return('null') -}} {%- endif -%}
    {%- set arguments = [tier] -%}
    {%- for feature in feature_contract('storage_tiering').features -%}
        {%- do arguments.append((relation ~ '.' if relation else '') ~ adapter.quote(feature.name)) -%}
    {%- endfor -%}
    {{- return('tier_decision(' ~ arguments | join(', ') ~ ')') -}}
{% endmacro %}

{# A window over the days before a partition's day, which it leaves out. #}
{% macro days_before(days) -%}
    over (
        partition by partition_name order by day
        rows between {{ days }} preceding and 1 preceding
    )
{%- endmacro %}

{# Reads on the same weekday of each of some weeks before. #}
{% macro reads_weeks_before(weeks) %}
    {%- set found = [] -%}
    {%- for week in weeks -%}
        {%- do found.append(
            'lagInFrame(reads, ' ~ 7 * week ~ ', 0) over (partition by partition_name order by day '
            ~ 'rows between ' ~ 7 * week ~ ' preceding and current row)'
        ) -%}
    {%- endfor -%}
    {{- return(found | join(' + ')) -}}
{% endmacro %}
