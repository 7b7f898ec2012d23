-- Where partitions lie now, on the node that is asked, of the tables that the configuration names.
with

volumes as (

    select
        policy_name,
        volume_name,
        arrayJoin(disks) as disk_name
    from {{ source('system', 'storage_policies') }}

)

select
    parts.database as database,
    parts.table as table,
    parts.partition_id as partition_id,
    concat(parts.database, '.', parts.table, '.', parts.partition_id) as partition_name,
    any(tables.storage_policy) as storage_policy,
    groupUniqArray(volumes.volume_name) as in_volumes,
    -- Of a partition that lies in several, the first; of a volume that no tier names, none.
    {{ tier_names() }}[min(indexOf({{ tier_volumes() }}, volumes.volume_name))] as tier,
    count() as parts,
    sum(parts.bytes_on_disk) as bytes,
    sum(parts.bytes_on_disk)
    * any({{ tiering_size_factor("concat(parts.database, '.', parts.table)") }}) as stands_for_bytes
from {{ source('system', 'parts') }} as parts
inner join {{ source('system', 'tables') }} as tables
    on tables.database = parts.database and tables.name = parts.table
inner join volumes
    on volumes.policy_name = tables.storage_policy and volumes.disk_name = parts.disk_name
where parts.active and concat(parts.database, '.', parts.table) in {{ tiering_tables() }}
group by database, table, partition_id
