-- A table that was dropped and made anew under the same name is another one: what came before the
-- latest drop, by the clock of the log, is left out.
with

accesses as (

    select
        event_at,
        logged_at,
        partition_name,
        user_key,
        1 as is_read,
        read_bytes as bytes
    from {{ ref('stg_partition_reads') }}

    union all

    select
        event_at,
        logged_at,
        partition_name,
        toUInt64(0) as user_key,
        0 as is_read,
        bytes
    from {{ ref('stg_part_events') }}
    where event = 'NewPart' and error_code = 0

),

named as (

    select
        *,
        -- A partition's id holds no dot.
        replaceRegexpOne(partition_name, '\\.[^.]*$', '') as table_name,
        splitByChar('.', table_name)[1] as database_name
    from accesses

),

-- Tables, and databases of which all is gone.
dropped as (

    select
        arrayJoin(if(empty(tables), databases, tables)) as dropped_name,
        max(logged_at) as dropped_at
    from {{ source('engine', 'engine_queries') }}
    where kind = 'Drop' and exception_code = 0
    group by dropped_name

)

select
    named.event_at,
    named.partition_name,
    named.table_name,
    named.user_key,
    named.is_read,
    named.bytes
from named
left join dropped as of_table on of_table.dropped_name = named.table_name
left join dropped as of_database on of_database.dropped_name = named.database_name
where named.logged_at > greatest(of_table.dropped_at, of_database.dropped_at)
