{# Cache admission: what the owner allows, as SQL, and cache_decision(). #}

{# The tables that may be learned from and kept. #}
{% macro cached_tables() %}
    {{- return(string_list(var('result_cache').tables or {'': 0})) -}}
{% endmacro %}

{# Seconds that an answer may be behind its tables: the least of its tables and its dashboard; 0 if
   a table is not named, and then nothing is kept. #}
{% macro allowed_stale_seconds(tables, dashboard) %}
    {%- set horizon = var('cache_admission_horizon_seconds') -%}
    {%- set of_table = _lookup('toString(t)', var('result_cache').tables, 0) -%}
    {%- set of_dashboard = _lookup('toString(' ~ dashboard ~ ')', var('result_cache').dashboards, horizon) -%}
    {{- return(
        'toFloat64(least(' ~ horizon ~ ', ' ~ of_dashboard ~ ', arrayMin(arrayMap(t -> ' ~ of_table ~ ', '
        ~ tables ~ '))))'
    ) -}}
{% endmacro %}

{# The number that a mapping of dbt_project.yml gives a name, as SQL. #}
{% macro _lookup(name, mapping, default) %}
    {%- if mapping is not mapping or not mapping -%} {{- return(default ~ '') -}} {%- endif -%}
    {{- return(
        'transform(' ~ name ~ ', ' ~ string_array(mapping.keys()) ~ ', ['
        ~ mapping.values() | join(', ') ~ '], '
        ~ default ~ ')'
    ) -}}
{% endmacro %}

{# Mean milliseconds of a query in its history and this time: one measure alone is noisy. #}
{% macro mean_ms() -%}
    ((ifNull(mean_duration_ms, 0) * requests_7d + duration_ms) / (requests_7d + 1))
{%- endmacro %}

{# How often an answer is expected to be read in its life: with the probability `value` once in
   `kept_seconds`, and so on as long as `ttl_seconds` lasts. #}
{% macro expected_hits(answer) -%}
    {{ answer }}.value * greatest(1, {{ answer }}.ttl_seconds / greatest(1, {{ answer }}.kept_seconds))
{%- endmacro %}

{# cache_decision(<features>): (admit, ttl_seconds), by the promoted version of cache_admission. An
   answer is worth keeping if its hits are expected to save more than storing it costs; nothing is
   kept before a promotion. It is served for as long as its owner allows after it was last known to
   hold: a shorter time would only lose hits. #}
{% macro create_cache_decision() %}
    {% if execute %}
        {% set arguments = _arguments(feature_contract('cache_admission')) %}
        {% set answer -%}
            arrayMap(treehouse_answer -> cast(tuple(
                ifNull({{ expected_hits('treehouse_answer') }} * {{ mean_ms() }} > {{ var('result_cache').store_ms }}
                    and is_deterministic = 1 and allowed_stale_seconds > 0
                    and result_bytes <= {{ var('result_cache').most_bytes }}, false),
                toUInt32(floor(allowed_stale_seconds))
            ), 'Tuple(admit Bool, ttl_seconds UInt32)'),
            [predict_cache_admission_full({{ arguments | join(', ') }})])[1]
        {%- endset %}
        {% do run_query(_create_function('cache_decision', arguments, answer)) %}
    {% endif %}
{% endmacro %}

{% macro cache_decision(relation=none) %}
    {%- if not execute -%} {{- return('null') -}} {%- endif -%}
    {{- return(_predict_call('cache_decision', 'cache_admission', relation, none)) -}}
{% endmacro %}

{# A window over what was asked before a request, within so many seconds; asked_ms counts
   milliseconds. #}
{% macro asked_before(key, seconds) -%}
    over (
        partition by {{ key }} order by asked_ms
        range between {{ seconds * 1000 }} preceding and 1 preceding
    )
{%- endmacro %}

{# A named query's answer as a relation: the stored one if it is fresh, else the query itself.
   select * from {{ cached('sales_by_country', since='2026-06-01 00:00:00') }}
   Before the first `treehouse cache fill` it is only the query; build the model anew after that. #}
{% macro cached(name) %}
    {%- set given = var('result_cache') -%}
    {%- set queries = given.queries or {} -%}
    {%- if name not in queries -%}
        {{- exceptions.raise_compiler_error(
            "There is no query '" ~ name ~ "' in result_cache.queries. Expected one of: "
            ~ queries.keys() | join(', ')
        ) -}}
    {%- endif -%}
    {%- set query = namespace(sql=queries[name].sql | trim, arguments=[]) -%}
    {%- set hash = local_md5(query.sql) -%}
    {%- for parameter, value in kwargs.items() -%}
        {%- set text = "'" ~ (value | string | replace("\\", "\\\\") | replace("'", "\\'")) ~ "'" -%}
        {%- set query.sql = modules.re.sub(
            '\\{\\s*' ~ parameter ~ '\\s*:([^{}]*)\\}',
            'cast(' ~ text.replace('\\', '\\\\') ~ ' as \\1)', query.sql
        ) -%}
        {%- do query.arguments.append(adapter.quote(parameter) ~ ' = ' ~ text) -%}
    {%- endfor -%}
    {%- if not execute -%} {{- return('(' ~ query.sql ~ ')') -}} {%- endif -%}
    {%- set there = run_query(
        "select any(comment) from system.tables where database = '" ~ given.database
        ~ "' and name = '" ~ name ~ "'"
    ).columns[0].values()[0] -%}
    {%- if hash not in (there or '') -%} {{- return('(' ~ query.sql ~ ')') -}} {%- endif -%}
    {%- set call = '(' ~ query.arguments | join(', ') ~ ')' if query.arguments else '' -%}
    {{- return(adapter.quote(given.database) ~ '.' ~ adapter.quote(name) ~ call) -}}
{% endmacro %}
