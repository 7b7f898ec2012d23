-- The label is the query that came next in the same sequence; a sequence that ends has none. The
-- newest fifth of the time is the test, the fifth before it chooses; a row whose label came only
-- in a later part is unused.
{{ config(materialized='table', engine='MergeTree', order_by='(asked_at, log_id)') }}

with

followed as (

    select
        *,
        leadInFrame(features.query_id) over following as next_query_id,
        leadInFrame(features.asked_at) over following as next_at,
        leadInFrame(1) over following as has_next
    from {{ ref('next_query_features') }} as features
    window following as (
        partition by sequence_key order by asked_at, log_id
        rows between current row and 1 following
    )

),

labelled as (

    select * except (has_next) from followed
    where
        has_next
        and next_at <= asked_at + interval {{ var('next_query_horizon_minutes') }} minute

),

bounds as (

    select
        quantileExact(0.6)(asked_at) as choice_begins, -- noqa: LT01
        quantileExact(0.8)(asked_at) as test_begins -- noqa: LT01
    from labelled

)

select
    labelled.*,
    multiIf(
        asked_at >= bounds.test_begins, 'test',
        next_at >= bounds.test_begins, 'unused',
        asked_at >= bounds.choice_begins,
        {{ choice_half('sequence_key, toDate(asked_at)') }},
        next_at >= bounds.choice_begins, 'unused',
        'train'
    ) as split
from labelled
cross join bounds
