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

{# A session; without one, what one user asks of one dashboard. #}
{% macro sequence_key() -%}
    if(session_key != 0, session_key, cityHash64(user_key, dashboard))
{%- endmacro %}

{# The moment of the newest query of a dashboard, and what has passed since: the log's own clock, for
   a workload may have run in a time of its own. #}
{% macro present_at() -%}
    (
        select
            max(event_at) + toIntervalMicrosecond(
                dateDiff('microsecond', argMax(logged_at, event_at), now64(6))
            )
        from {{ ref('stg_queries') }}
        where dashboard != ''
    )
{%- endmacro %}

{# Whether a statement is a query of somebody's own, and none of Treehouse's work. #}
{% macro is_asked() -%}
    kind = 'Select'
    and exception_code = 0
    and notEmpty(tables)
    and (dashboard != '' or not hasAny(databases, {{ string_array(var('next_query_left_out')) }}))
{%- endmacro %}

{# What each query of `queries`, a relation like stg_queries, and those before it in the same sequence
   were: the rows of next_query_features. #}
{% macro next_query_features(queries) -%}
{%- set history = var('next_query_history') -%}
with

queries as (

    select
        log_id,
        event_at as asked_at,
        user_key,
        dashboard,
        {{ sequence_key() }} as sequence_key,
        {{ query_id('shape') }} as query_id
    from {{ queries }}
    where {{ is_asked() }}

),

ordered as (

    select
        *,
        groupArray(queries.query_id) over recent as recent_ids,
        groupArray(toUnixTimestamp64Micro(queries.asked_at) / 1e6) over recent as recent_seconds,
        count() over (sequence rows between unbounded preceding and 1 preceding) as queries_before,
        count() over (person rows between unbounded preceding and 1 preceding) as person_before,
        countIf(queries.dashboard != '') over (
            person rows between unbounded preceding and 1 preceding
        ) as panels_before
    from queries
    window
        sequence as (partition by sequence_key order by asked_at, log_id),
        person as (partition by user_key order by asked_at, log_id),
        recent as (
            partition by sequence_key order by asked_at, log_id
            rows between {{ history }} preceding and current row
        )

)

select
    log_id,
    asked_at,
    sequence_key,
    user_key,
    query_id,
    toHour(asked_at, '{{ var("time_zone") }}') as hour,
    toDayOfWeek(asked_at, 0, '{{ var("time_zone") }}') as weekday,
    queries_before,
    multiIf(
        person_before = 0, 'new',
        panels_before * 2 >= person_before, 'viewer',
        'analyst'
    ) as role,
    dashboard,
    arrayMap(id -> toString(id), recent_ids) as recent,
    arrayMap(seconds -> greatest(seconds, 0.), arrayDifference(recent_seconds)) as gaps
from ordered
{%- endmacro %}
