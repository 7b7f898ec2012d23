{# The result store: answers of named queries, each with an end. Pure Jinja, so that Python renders
   the same text (training/results/store.py). `results` is append-only: an answer is there once its
   row is, so nobody reads half of one, and what a killed run left is never read. #}

{% macro result_store_ddl(database, engine='MergeTree', cluster='') %}
{%- set on_cluster = ' on cluster ' ~ cluster if cluster else '' -%}
create database if not exists {{ database }}{{ on_cluster }} engine = Atomic;

create table if not exists {{ database }}.results{{ on_cluster }}
(
    at DateTime64(6, 'UTC') default now64(6),
    run UUID comment 'Of one fill or undo',
    name LowCardinality(String) comment 'Of the query, in result_cache.queries',
    query_hash String comment 'Of its text: another text has other answers',
    state LowCardinality(String) comment 'stored, failed or cleared',
    result_id UInt64 comment 'Marks the rows of the answer',
    computed_at DateTime64(6, 'UTC') comment 'Before the query began',
    expires_at DateTime64(6, 'UTC') comment 'From then on nobody reads it',
    answer_rows UInt64,
    seconds Float64 comment 'That the query and the storing took',
    detail String comment 'Why it failed'
)
engine = {{ engine }} order by (name, at)
comment 'One row for each answer that was stored, could not be, or was taken back'
{% endmacro %}

{# The answers of one query. Rows leave an hour after their end, for queries that still read them. #}
{% macro result_table_ddl(table, sql, engine='MergeTree', cluster='') %}
{%- set on_cluster = ' on cluster ' ~ cluster if cluster else '' -%}
create table if not exists {{ table }}{{ on_cluster }}
engine = {{ engine }} order by result_id ttl toDateTime(expires_at) + interval 1 hour
empty as
select answer.*, toUInt64(0) as result_id, now64(6, 'UTC') as expires_at from (
{{ sql }}
) as answer
{% endmacro %}

{# The stored answer if there is a fresh one, else the query itself; of the two only one is run.
   `allowed` is the most seconds that an answer may be old, whatever it was stored for. #}
{% macro cached_query(database, table, name, query_hash, sql, allowed) %}
{%- set fresh -%}
(
    select argMax(
        if(
            state = 'stored' and expires_at > now64(6)
            and computed_at > now64(6) - toIntervalMillisecond({{ (allowed * 1000) | int }}),
            result_id, 0
        ), at
    )
    from {{ database }}.results
    where name = '{{ name }}' and query_hash = '{{ query_hash }}' and state in ('stored', 'cleared')
)
{%- endset -%}
select * except (result_id, expires_at) from {{ table }} where result_id = {{ fresh }} and result_id != 0
union all
select * from (
{{ sql }}
) as answer where {{ fresh }} = 0
{% endmacro %}
