-- Only tables that the configuration names. A partition that nobody touched is there too, from the
-- day of its newest part on. Days are whole: the newest one that was seen may go on.
{{ config(materialized='table', engine='MergeTree', order_by='(partition_name, day)') }}

with

named as (

    select
        partition_name,
        table_name,
        toDate(event_at, '{{ var("time_zone") }}') as day,
        user_key,
        is_read,
        bytes,
        {{ tiering_size_factor('table_name') }} as size_factor
    from {{ ref('stg_partition_accesses') }}
    where table_name in {{ tiering_tables() }}

),

untouched as (

    select
        concat(database, '.', table) as table_name,
        partition_name,
        toDate(max(modified_at), '{{ var("time_zone") }}') as day,
        toFloat64(sum(bytes)) * any({{ tiering_size_factor('table_name') }}) as seen_bytes
    from {{ ref('stg_partitions') }}
    where table_name in {{ tiering_tables() }}
    group by table_name, partition_name

)

select
    partition_name,
    table_name,
    day,
    sum(is_read) as reads,
    sumIf(bytes * size_factor, is_read) as read_bytes,
    groupUniqArrayIf(user_key, is_read) as readers,
    countIf(not is_read) as writes,
    sumIf(bytes * size_factor, not is_read) as written_bytes,
    toFloat64(0) as seen_bytes
from named
group by partition_name, table_name, day

union all

select
    partition_name,
    table_name,
    day,
    0 as reads,
    0 as read_bytes,
    [] as readers,
    0 as writes,
    0 as written_bytes,
    seen_bytes
from untouched
where day < (select max(day) from named)
