-- A view: what is worth asking in advance. A result saves what its query takes, if it is asked for;
-- it is worth it where that is likely enough, and saves enough on average.
with

costs as (

    select
        shape,
        {{ query_id('shape') }} as query_id,
        median(duration_ms) as median_ms,
        median(read_bytes) as median_read_bytes
    from {{ ref('stg_queries') }}
    where kind = 'Select' and exception_code = 0
    group by shape

),

candidates as (

    select
        log_id,
        asked_at,
        sequence_key,
        user_key,
        dashboard,
        role,
        model_version,
        place,
        next_query.1 as query_id,
        next_query.2 as share
    from {{ ref('next_query_scores') }}
    array join next_queries as next_query, arrayEnumerate(next_queries) as place

)

select
    candidates.*,
    costs.shape as shape,
    costs.median_ms as median_ms,
    costs.median_read_bytes as median_read_bytes,
    share * costs.median_ms as saved_ms,
    (1 - share) * costs.median_ms as wasted_ms,
    multiIf(
        share < {{ var('next_query_least_share') }}, 'too unlikely',
        saved_ms < {{ var('next_query_least_saved_ms') }}, 'saves too little',
        'prefetch'
    ) as decision
from candidates
inner join costs on candidates.query_id = costs.query_id
