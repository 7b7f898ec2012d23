-- A row for each day from the one after a partition appeared; each window ends the day before.
{{ config(materialized='table', engine='MergeTree', order_by='(as_of, partition_name)') }}

{%- set history = var('storage_tiering_history_days') %}

with

-- The newest day that was seen is the present.
present as (

    select max(day) as today from {{ ref('storage_tiering_days') }}

),

partitions as (

    select
        partition_name,
        any(table_name) as its_table,
        min(day) as first_day
    from {{ ref('storage_tiering_days') }}
    group by partition_name

),

-- 35 days more than are kept, for the windows; what was written earlier counts on the first day.
grid as (

    select
        partition_name,
        its_table as table_name,
        first_day,
        greatest(first_day, today - {{ history }} - 35) as begins_on,
        arrayJoin(arrayMap(n -> begins_on + n, range(toUInt32(today - begins_on) + 1))) as day
    from partitions
    cross join present

),

accesses as (

    select
        partition_name,
        greatest(days.day, assumeNotNull((select today from present)) - {{ history }} - 35) as day,
        sumIf(days.reads, days.day = day) as reads,
        sumIf(days.read_bytes, days.day = day) as read_bytes,
        groupUniqArrayArrayIf(days.readers, days.day = day) as readers,
        sumIf(days.writes, days.day = day) as writes,
        sum(days.written_bytes) as written_bytes,
        sum(days.seen_bytes) as seen_bytes
    from {{ ref('storage_tiering_days') }} as days
    group by partition_name, day

),

daily as (

    select
        partition_name,
        table_name,
        grid.day as day,
        toFloat64(day - first_day) as age,
        reads,
        read_bytes,
        readers,
        writes,
        written_bytes,
        seen_bytes
    from grid
    left join accesses using (partition_name, day)

),

windows as (

    select
        partition_name,
        table_name,
        day as as_of,
        age as age_days,
        greatest(
            sum(written_bytes) {{ days_before('unbounded') }},
            sum(seen_bytes) {{ days_before('unbounded') }}
        ) as stored_bytes,
        toFloat64(day - maxIf(toNullable(day), reads > 0) {{ days_before(35) }})
            as days_since_read,
        toFloat64(day - maxIf(toNullable(day), writes > 0) {{ days_before(35) }})
            as days_since_write,
        sum(reads) {{ days_before(1) }} as reads_1d,
        sum(reads) {{ days_before(7) }} as reads_7d,
        sum(reads) {{ days_before(30) }} as reads_30d,
        -- A read counts half after a week.
        sum(reads * exp2(age / 7)) {{ days_before(35) }} * exp2(-age / 7) as reads_decayed,
        sum(read_bytes) {{ days_before(7) }} as read_bytes_7d,
        length(groupUniqArrayArray(readers) {{ days_before(7) }}) as readers_7d,
        length(groupUniqArrayArray(readers) {{ days_before(30) }}) as readers_30d,
        countIf(reads > 0) {{ days_before(30) }} as read_days_30d,
        sum(writes) {{ days_before(7) }} as writes_7d,
        -- The same weekday of the last four weeks.
        {{ reads_weeks_before([1, 2, 3, 4]) }} as reads_same_weekday,
        -- What a month has at its begin or end: the week that began 30 days ago.
        sum(reads) over (
            partition by partition_name order by day
            rows between 30 preceding and 24 preceding
        ) as reads_month_ago
    from daily

),

known as (

    select windows.*
    from windows
    cross join present
    where stored_bytes > 0 and as_of > today - {{ history }}

)

select
    partition_name,
    as_of,
    table_name,
    age_days,
    stored_bytes,
    toUInt64(row_number() over (partition by table_name, as_of order by partition_name desc) - 1)
        as newer_partitions,
    days_since_read,
    days_since_write,
    reads_1d,
    reads_7d,
    reads_30d,
    reads_decayed,
    read_bytes_7d,
    readers_7d,
    readers_30d,
    read_days_30d,
    writes_7d,
    reads_same_weekday,
    reads_month_ago,
    avg(reads_7d > 0) over (partition by table_name, as_of) as table_read_share_7d
from known
