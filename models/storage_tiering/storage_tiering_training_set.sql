-- The label is the tier that would have cost the least over the horizon after a day: what is
-- billed, what waiting is worth, and a move there and back; what nobody reads stays, so that only a
-- part of the move falls to the horizon. A row
-- counts as much as a wrong tier would cost. The newest days are the test; those that choose end a
-- horizon before it, and training ends a horizon before those.
{{ config(materialized='table', engine='MergeTree', order_by='(as_of, partition_name)') }}

{%- set horizon = var('storage_tiering_horizon_days') %}
{#- A day counts as whole when the next one has begun. #}
{%- set gap = '(' ~ horizon ~ ' + 1)' %}
{%- set stay = tiering_var('minimum_stay_days') %}

with

mature as (

    select * from {{ ref('storage_tiering_features') }}
    where as_of + {{ horizon }} <= (select max(day) from {{ ref('storage_tiering_days') }})

),

bounds as (

    select
        min(as_of) as first_day,
        max(as_of) as last_day,
        -- A fifth of the days that the two horizons leave, and as many to choose by.
        greatest(1, intDiv(last_day - first_day + 1 - 2 * {{ gap }}, 5)) as part_days,
        last_day - part_days + 1 as test_begins,
        test_begins - {{ gap }} as choice_ends,
        choice_ends - part_days + 1 as choice_begins,
        choice_begins - {{ gap }} as training_ends
    from mature

),

-- A day belongs to the horizon of each of the days before it.
future as (

    select
        partition_name as its_partition,
        days.day - arrayJoin(range({{ horizon }})) as its_day,
        toFloat64(sum(days.reads)) as future_reads,
        sum(days.read_bytes) as future_read_bytes,
        toFloat64(sum(days.writes)) as future_writes,
        sum(days.written_bytes) as future_written_bytes
    from {{ ref('storage_tiering_days') }} as days
    group by its_partition, its_day

),

costs as (

    select
        mature.*,
        future.future_reads as future_reads,
        {{ tiers_bill_usd('stored_bytes', horizon, 'future_reads', 'future_read_bytes',
                          'future_writes', 'future_written_bytes') }} as bill_usd,
        {{ tiers_waiting_hours('future_reads', 'future_read_bytes') }} as waiting_hours,
        {{ tiers_leave_usd('stored_bytes') }} as leave_usd,
        {{ tiers_enter_usd('stored_bytes') }} as enter_usd,
        arrayMap(
            (bill, waiting, leave, enter, least_days, number) -> bill
            + waiting * {{ var('storage_waiting_usd_per_hour') }}
            + if(
                number = 1, 0,
                (leave_usd[1] + enter + leave + enter_usd[1])
                * if(
                    future_reads > 0, 1,
                    {{ horizon }} / greatest(least_days, {{ horizon }}, {{ stay }})
                )
            ),
            bill_usd, waiting_hours, leave_usd, enter_usd,
            {{ tiers_minimum_days() }},
            arrayEnumerate(bill_usd)
        ) as tier_usd
    from mature
    left join future
        on mature.partition_name = future.its_partition and mature.as_of = future.its_day

)

select
    costs.* except (future_reads, bill_usd, waiting_hours, leave_usd, enter_usd),
    {{ tier_names() }}[indexOf(tier_usd, arrayMin(tier_usd))] as best_tier,
    -- Never 0, where all tiers cost the same.
    greatest(arrayMax(tier_usd) - arrayMin(tier_usd), 1e-9) as stake_usd,
    as_of + {{ horizon }} as label_known_at,
    multiIf(
        as_of >= bounds.test_begins, 'test',
        as_of between bounds.choice_begins and bounds.choice_ends,
        {{ choice_half('partition_name, 1') }},
        as_of <= bounds.training_ends, 'train',
        'unused'
    ) as split
from costs
cross join bounds
