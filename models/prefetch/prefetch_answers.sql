-- A view: each answer that was asked in advance, and whether it was read before it ended. A renewed
-- answer is the same one. What nobody read is wasted; that is known only when the answer has ended,
-- and never of an answer without rows, of which the log shows no read.
with

answers as (

    select
        result_id,
        any(results.name) as name,
        any(results.user) as user,
        min(results.at) as stored_at,
        max(results.expires_at) as ends_at,
        max(results.answer_rows) as answer_rows,
        (max(results.seconds) + max(results.store_seconds)) * 1000 as cost_ms
    from {{ source('result_store', 'results') }} as results
    where result_id != 0 and state in ('stored', 'renewed') and reason = 'prefetched'
    group by result_id

),

reads as (

    select
        result_id,
        count() as times_read,
        min(logged_at) as first_read_at,
        sum(greatest(0, run_ms - duration_ms)) as saved_ms
    from {{ ref('stg_queries') }}
    where result_id != 0 and {{ is_asked() }}
    group by result_id

)

select
    answers.*,
    ifNull(reads.times_read, 0) as times_read,
    if(times_read = 0, null, reads.first_read_at) as first_read_at,
    reads.saved_ms as saved_ms,
    multiIf(
        times_read > 0, 'read', answer_rows = 0, 'unknown', ends_at > now64(6), 'waits', 'wasted'
    ) as outcome,
    if(outcome = 'wasted', cost_ms, 0) as wasted_ms
from answers
left join reads on reads.result_id = answers.result_id
