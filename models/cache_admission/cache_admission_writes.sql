-- Only tables that the configuration names. A write is one moment for all the parts that it left.
{{ config(materialized='table', engine='MergeTree', order_by='(table_name, written_at)') }}

select
    table_name,
    written_at,
    row_number() over (partition by table_name order by written_at) as number
from (
    select distinct
        concat(database, '.', table) as table_name,
        event_at as written_at
    from {{ ref('stg_part_events') }}
    where
        event in ('NewPart', 'MutatePart')
        and error_code = 0
        and table_name in {{ cached_tables() }}
)
