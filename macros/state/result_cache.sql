{# The result store: answers of named queries, each with an end. Pure Jinja, so that Python renders
   the same text (training/treehouse/platform/result_cache/). `results` is append-only: an answer is there once its row is,
   so nobody reads half of one, and what a killed run left is never read. A cache is local: each
   node of a cluster has its own. #}

{% macro result_store_ddl(database, horizon, credentials='') %}
create database if not exists {{ database }} engine = Atomic;

create table if not exists {{ database }}.results
(
    at DateTime64(6, 'UTC') default now64(6),
    run UUID comment 'Of one fill, renewal or undo',
    name LowCardinality(String) comment 'Of the query, in result_cache.queries',
    query_hash String comment 'Table of its answers: another text or other columns have another',
    state LowCardinality(String) comment 'stored, renewed, failed or cleared',
    result_id UInt64 comment 'Marks the rows of the answer, and names their partition',
    computed_at DateTime64(6, 'UTC') comment 'Before the query began',
    expires_at DateTime64(6, 'UTC') comment 'From then on nobody reads it',
    answer_rows UInt64,
    seconds Float64 comment 'That the query took',
    detail String comment 'Why it failed'
)
engine = MergeTree order by (name, at) ttl toDateTime(at) + interval 90 day
comment 'One row for each answer that was stored, renewed, could not be stored, or was taken back';

alter table {{ database }}.results
    add column if not exists reason LowCardinality(String) comment 'Why it was stored: admitted or prefetched',
    add column if not exists user LowCardinality(String) comment 'Who may read it: as whom it was computed',
    add column if not exists arguments UInt64 comment 'Hash of the parameters of the query; 0 without any',
    add column if not exists version UInt64 comment 'Of the tables underneath, as table_versions; 0 if unknown',
    add column if not exists verified_at DateTime64(6, 'UTC') comment 'When it was last as the tables are',
    add column if not exists answer_bytes UInt64 comment 'As they were stored, before compression',
    add column if not exists store_seconds Float64 comment 'That storing the answer took';

create table if not exists {{ database }}.argument_secrets
(
    at DateTime64(6, 'UTC') default now64(6),
    secret String
)
engine = MergeTree order by at
comment 'The first row keys the hashes of arguments; for the owner alone';

create or replace view {{ database }}.live sql security invoker as
select
    name, query_hash, user, arguments, cityHash64(query_hash, user, arguments) as key,
    last.2 as result_id, last.3 as computed_at, last.4 as verified_at, last.5 as expires_at,
    last.6 as answer_rows, last.7 as answer_bytes, last.8 as reason, last.9 as version
from (
    select
        name, query_hash, user, arguments,
        argMax(
            (state, result_id, computed_at, verified_at, expires_at, answer_rows, answer_bytes,
             reason, version), results.at
        ) as last
    from {{ database }}.results as results
    where state != 'failed' and at > now64(6) - toIntervalSecond({{ 2 * horizon }})
    group by name, query_hash, user, arguments
)
where last.1 != 'cleared'
comment 'Of each query, reader and arguments the latest answer, unless it was taken back';
{%- if credentials is not none %}

create dictionary if not exists {{ database }}.answers
(
    key UInt64,
    result_id UInt64,
    verified_at DateTime64(6, 'UTC'),
    expires_at DateTime64(6, 'UTC')
)
primary key key
source(clickhouse({{ credentials }} query
    'select key, result_id, verified_at, expires_at from {{ database }}.live'
))
layout(hashed())
lifetime(min 5 max 10)
comment 'The live answers as the views look them up: a constant for the planner, which a subquery is not'
{%- endif %}
{% endmacro %}

{# The answers of one query; columns as `describe` lists them. A partition each, to be dropped. They
   lie in a database of who may read them. #}
{% macro result_table_ddl(database, table, columns, comment) %}
create database if not exists {{ database }} engine = Atomic;
create table if not exists {{ table }}
(
    {%- for name, type in columns %}
    {{ name }} {{ type }},
    {%- endfor %}
    treehouse_result UInt64,
    treehouse_row UInt64 comment 'The order of the answer'
)
engine = MergeTree partition by treehouse_result order by treehouse_row
comment {{ comment }}
{% endmacro %}

{# The stored answer if there is a fresh one, else the query itself; of the two only one is run.
   `allowed` is the most seconds that an answer may be behind, whatever it was stored for. The view
   is its reader's, and so are the rights to both halves. #}
{% macro cached_query(dictionary, table, query_hash, key, sql, allowed) %}
{%- set key = "cityHash64('" ~ query_hash ~ "', currentUser(), " ~ key ~ ')' -%}
{%- set fresh -%}
if(
    dictGetOrDefault({{ dictionary }}, 'expires_at', {{ key }}, toDateTime64(0, 6)) > now64(6)
    and dictGetOrDefault({{ dictionary }}, 'verified_at', {{ key }}, toDateTime64(0, 6))
        > now64(6) - toIntervalMillisecond({{ (allowed * 1000) | int }}),
    dictGetOrDefault({{ dictionary }}, 'result_id', {{ key }}, toUInt64(0)), 0
)
{%- endset -%}
select * except (treehouse_result, treehouse_row) from (
    select * from {{ table }} where treehouse_result = {{ fresh }} order by treehouse_row
)
union all
select * from (
{{ sql }}
) as answer where {{ fresh }} = 0
{% endmacro %}

{# A number for each MergeTree table that says what is in it: merges keep it, writes, mutations and
   dropped partitions change it. While a mutation runs there is none. Without mutations a part's
   data_version is its first block, which merges change. #}
{% macro table_versions() %}
select
    concat(tables.database, '.', tables.name) as table_name,
    cityHash64(any(tables.uuid), arraySort(groupArray(contents.version))) as version
from system.tables as tables
left join (
    select
        database,
        table,
        cityHash64(
            partition_id,
            max(max_block_number),
            max(if(data_version = min_block_number, 0, data_version)),
            sum(rows)
        ) as version
    from system.parts
    where active
    group by database, table, partition_id
) as contents on contents.database = tables.database and contents.table = tables.name
where
    tables.engine like '%MergeTree'
    and (tables.database, tables.name) not in (
        select (database, table) from system.mutations where not is_done
    )
group by tables.database, tables.name
{% endmacro %}

{# Where the answers that are read take more than `capacity` bytes, those are taken back that have
   saved the least for each byte and second so far, as though each were read once more now: the hit
   density of LHD (Beckmann, Chen and Cidon, NSDI 2018), as it was seen. #}
{% macro evict_answers(database, raw) %}
insert into {{ database }}.results (at, run, name, query_hash, user, arguments, state, detail)
with
reads as (
    select result_id, count() as times_read
    from {{ raw }}.engine_queries
    where result_id != 0
    group by result_id
),
stored as (
    select result_id, any(results.seconds) as seconds
    from {{ database }}.results as results
    where state = 'stored'
    group by result_id
),
ranked as (
    select
        live.*,
        (reads.times_read + 1) * stored.seconds / greatest(1, answer_bytes)
            / greatest(1, dateDiff('second', computed_at, now64(6))) as worth,
        sum(answer_bytes) over (
            order by worth desc rows between unbounded preceding and current row
        ) as bytes_so_far
    from {{ database }}.live as live
    left join reads on reads.result_id = live.result_id
    left join stored on stored.result_id = live.result_id
    where expires_at > now64(6)
)
select
    greatest(now64(6), (select max(at) + toIntervalMicrosecond(1) from {{ database }}.results)),
    {run:UUID}, name, query_hash, user, arguments, 'cleared', 'there was no room'
from ranked
where bytes_so_far > {capacity:UInt64}
{% endmacro %}

{# Longer lives for answers that are still as their tables: `versions` are those of the tables under
   the queries of `names`, read after `checked_at`. What is taken back meanwhile stays so. #}
{% macro renew_answers(database) %}
insert into {{ database }}.results
    (at, run, name, query_hash, state, result_id, computed_at, expires_at, answer_rows, seconds, detail,
     reason, user, arguments, version, verified_at, answer_bytes, store_seconds)
select
    {checked_at:DateTime64(6, 'UTC')}, {run:UUID}, name, query_hash, 'renewed', result_id, computed_at,
    {checked_at:DateTime64(6, 'UTC')}
        + toIntervalMillisecond(dateDiff('millisecond', verified_at, expires_at)),
    answer_rows, 0, '', reason, user, arguments, version,
    {checked_at:DateTime64(6, 'UTC')}, answer_bytes, 0
from {{ database }}.live as live
where
    version != 0
    and version = transform(query_hash, {names:Array(String)}, {versions:Array(UInt64)}, toUInt64(0))
    and computed_at > {checked_at:DateTime64(6, 'UTC')} - toIntervalSecond({horizon:Float64})
{% endmacro %}
