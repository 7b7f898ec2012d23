-- A view: what may be asked soon, and how likely. An open session asks a query with the arguments
-- that it has now, or changes them to what others changed theirs to; and what is asked often is
-- asked again. The chances of one answer count as independent.
with

calls as (

    select
        *,
        count() over (earlier rows between unbounded preceding and 1 preceding) > 0 as is_later,
        is_later and arguments = lagInFrame(arguments) over (
            earlier rows between 1 preceding and current row
        ) as is_kept
    from {{ ref('prefetch_calls') }}
    window earlier as (partition by sequence_key, name order by event_at, log_id)

),

-- How often a session leaves the arguments of a query as they are, and what it changes them to.
habits as (

    select
        name,
        (sum(kept) + 1) / (sum(later) + 2) as kept_share,
        groupArrayIf((arguments, later - kept), later > kept) as changes,
        greatest(1, sum(later - kept)) as all_changes
    from (
        select
            name,
            arguments,
            countIf(is_later) as later,
            countIf(is_kept) as kept
        from calls
        group by name, arguments
    )
    group by name

),

-- What the open sessions will ask, with the arguments of their own latest call of the query, or the
-- latest of their dashboard; a parameter that another query of theirs had since goes along.
foreseen as (

    select
        ahead.share as share,
        names.name as name,
        if(own.name = '', usual.arguments, own.arguments) as known,
        mapUpdate(known, mapFilter((name, _) -> mapContains(known, name), state.arguments))
            as arguments
    from {{ ref('next_query_ahead') }} as ahead
    inner join (select distinct query_id, name from calls) as names
        on names.query_id = ahead.query_id
    left join (
        select sequence_key, name, argMax(calls.arguments, event_at) as arguments
        from calls
        group by sequence_key, name
    ) as own on own.sequence_key = ahead.sequence_key and own.name = names.name
    left join (
        select dashboard, name, argMax(calls.arguments, event_at) as arguments
        from calls
        group by dashboard, name
    ) as usual on usual.dashboard = ahead.dashboard and usual.name = names.name
    left join (
        select sequence_key, argMax(calls.arguments, event_at) as arguments
        from calls
        group by sequence_key
    ) as state on state.sequence_key = ahead.sequence_key
    where own.name != '' or usual.name != ''

),

chosen as (

    select
        name,
        choice.1 as arguments,
        choice.2 as share
    from foreseen
    inner join habits using (name)
    array join arrayConcat(
        [(foreseen.arguments, foreseen.share * kept_share)],
        arrayMap(
            change -> (change.1, foreseen.share * (1 - kept_share) * change.2 / all_changes),
            arrayFilter(change -> change.1 != foreseen.arguments, changes)
        )
    ) as choice

),

-- What is asked again: by the model while the latest request of it counts, else at the latest pace.
again as (

    select
        name,
        arguments,
        min(allowed_seconds) as life_seconds,
        argMax(predicted_reuse, event_at) as latest_reuse,
        1 - exp(-count() * life_seconds / greatest(max(log_seconds), life_seconds)) as pace_share,
        if(min(seconds_ago) < life_seconds, ifNull(latest_reuse, pace_share), pace_share) as share,
        count() as requests
    from (
        select
            calls.*,
            max(calls.seconds_ago) over () as log_seconds,
            if(scores.model_version > 0, scores.predicted_reuse, null) as predicted_reuse
        from calls
        left join {{ ref('cache_admission_scores') }} as scores
            on scores.result_key = calls.result_key
    )
    group by name, arguments

),

-- What a query takes when it is run, and what it takes to read its answer.
costs as (

    select
        name,
        median(run_ms) as run_ms,
        medianIf(read_bytes, result_id = 0) as run_bytes,
        if(
            countIf(result_id != 0) = 0, {{ var('result_cache').store_ms }},
            medianIf(duration_ms, result_id != 0)
        ) as read_ms
    from calls
    group by name

),

shares as (

    select
        name,
        arguments,
        1 - exp(sum(log(1 - least(session_chance, 0.9999)))) as session_share,
        1 - exp(sum(log(1 - least(again_chance, 0.9999)))) as again_share
    from (
        select
            name,
            arguments,
            share as session_chance,
            0. as again_chance
        from chosen

        union all

        select
            name,
            arguments,
            0. as session_chance,
            share as again_chance
        from again
    )
    group by name, arguments

)

select
    name,
    arguments,
    session_share,
    again_share,
    1 - (1 - session_share) * (1 - again_share) as share,
    run_ms,
    read_ms,
    run_bytes,
    share * greatest(0, run_ms - read_ms) as saved_ms,
    multiIf(
        share < {{ var('next_query_least_share') }}, 'too unlikely',
        saved_ms < {{ var('next_query_least_saved_ms') }}, 'saves too little',
        'prefetch'
    ) as decision
from shares
inner join costs using (name)
