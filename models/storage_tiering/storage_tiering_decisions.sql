-- A view over what is there now. Reads are billed at the pace of the last 7 days. A move to a
-- cheaper tier has to pay for itself by what storage then costs less; one to a faster tier is for
-- the reads.
with

decided as (

    select
        scores.*,
        places.database as database,
        places.table as table,
        places.partition_id as partition_id,
        places.storage_policy as storage_policy,
        places.in_volumes as in_volumes,
        places.tier as tier,
        places.parts as parts,
        places.bytes as bytes,
        places.stands_for_bytes as stands_for_bytes,
        {{ tier_decision('places.tier', 'scores') }} as decided_tier,
        scores.reads_7d * 30.4 / 7 as month_reads,
        scores.read_bytes_7d * 30.4 / 7 as month_read_bytes
    from {{ ref('storage_tiering_scores') }} as scores
    inner join {{ ref('storage_tiering_places') }} as places
        on places.partition_name = scores.partition_name

),

billed as (

    select
        *,
        indexOf({{ tier_names() }}, tier) as here,
        indexOf({{ tier_names() }}, decided_tier) as there,
        {{ tiers_bill_usd('stands_for_bytes', 30.4, 'month_reads', 'month_read_bytes') }}
            as month_usd,
        {{ tiers_bill_usd('stands_for_bytes', 30.4, 0, 0) }} as month_storage_usd,
        {{ tiers_waiting_hours('month_reads', 'month_read_bytes') }} as month_waiting_hours,
        {{ tiers_leave_usd('stands_for_bytes') }}[here]
        + {{ tiers_enter_usd('stands_for_bytes') }}[there] as move_usd
    from decided

)

select
    partition_name,
    as_of,
    database,
    table,
    partition_id,
    storage_policy,
    in_volumes,
    parts,
    bytes,
    stands_for_bytes,
    tier,
    decided_tier,
    multiIf(
        tier = '', 'lies in a volume that no tier names',
        here = there, 'stays',
        there < here, 'move',
        move_usd > {{ tiering_var('payback_months') }}
        * (month_storage_usd[here] - month_storage_usd[there]),
        'would not pay for itself',
        'move'
    ) as action,
    month_usd[here] as usd_per_month,
    month_usd[here] - month_usd[there] as saved_usd_per_month,
    month_waiting_hours[there] - month_waiting_hours[here] as added_waiting_hours_per_month,
    if(here = there, 0, move_usd) as move_usd,
    reads_7d,
    days_since_read,
    predicted_tier,
    {{ tier_shares('share_') }},
    model_version
from billed
