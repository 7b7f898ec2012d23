{# The result store: answers of named queries, each with an end. Pure Jinja, so that Python renders
   the same text (training/results/). `results` is append-only: an answer is there once its row is,
   so nobody reads half of one, and what a killed run left is never read. A cache is local: each
   node of a cluster has its own. #}

{% macro result_store_ddl(database) %}
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
    add column if not exists store_seconds Float64 comment 'That storing the answer took'
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
{% macro cached_query(database, table, name, query_hash, key, sql, allowed) %}
{%- set fresh -%}
(
    select argMax(
        if(
            state != 'cleared' and expires_at > now64(6)
            and verified_at > now64(6) - toIntervalMillisecond({{ (allowed * 1000) | int }}),
            result_id, 0
        ), at
    )
    from {{ database }}.results
    where
        name = '{{ name }}' and query_hash = '{{ query_hash }}' and user = currentUser()
        and arguments = {{ key }} and state != 'failed'
        and at > now64(6) - toIntervalMillisecond({{ (allowed * 1000) | int }})
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

{# The live answers: for each query, reader and arguments the latest, unless it was taken back. None
   was computed longer ago than `horizon`, but for the time that it then lives. #}
{% macro live_answers(database) %}
select
    name, query_hash, user, arguments,
    argMax(
        (state, result_id, computed_at, verified_at, expires_at, answer_rows, reason, version,
         answer_bytes), results.at
    ) as last
from {{ database }}.results as results
where state != 'failed' and at > now64(6) - toIntervalSecond(2 * {horizon:Float64})
group by name, query_hash, user, arguments
having last.1 != 'cleared'
{% endmacro %}

{# Where the answers that are read take more than `capacity` bytes, those are taken back that have
   saved the least for each byte and second so far, as though each were read once more now: the hit
   density of LHD (Beckmann, Chen and Cidon, NSDI 2018), as it was seen. #}
{% macro evict_answers(database, raw) %}
insert into {{ database }}.results (run, name, query_hash, user, arguments, state, detail)
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
        (reads.times_read + 1) * stored.seconds / greatest(1, live.last.9)
            / greatest(1, dateDiff('second', live.last.3, now64(6))) as worth,
        sum(live.last.9) over (
            order by worth desc rows between unbounded preceding and current row
        ) as bytes_so_far
    from ({{ live_answers(database) }}) as live
    left join reads on reads.result_id = live.last.2
    left join stored on stored.result_id = live.last.2
    where live.last.5 > now64(6)
)
select {run:UUID}, name, query_hash, user, arguments, 'cleared', 'there was no room'
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
    {checked_at:DateTime64(6, 'UTC')}, {run:UUID}, name, query_hash, 'renewed', last.2, last.3,
    {checked_at:DateTime64(6, 'UTC')}
        + toIntervalMillisecond(dateDiff('millisecond', last.4, last.5)),
    last.6, 0, '', last.7, user, arguments, last.8,
    {checked_at:DateTime64(6, 'UTC')}, last.9, 0
from ({{ live_answers(database) }}) as live
where
    last.8 != 0
    and last.8 = transform(query_hash, {names:Array(String)}, {versions:Array(UInt64)}, toUInt64(0))
    and last.3 > {checked_at:DateTime64(6, 'UTC')} - toIntervalSecond({horizon:Float64})
{% endmacro %}
