-- A view: what the open sequences will ask, several queries ahead. Each likely next query is taken
-- as asked, and the model is asked again; a path that has become too unlikely ends.
{%- set length = '-1 - ' ~ var('next_query_history') %}

with recursive paths as (

    select
        * except (query_id, queries_before, recent, gaps),
        query_id,
        queries_before,
        recent,
        gaps,
        toUInt8(0) as step,
        follows_share as share
    from {{ ref('next_query_open') }}

    union all

    -- All else stays as it is.
    select
        foreseen.* except (prediction, query_id, queries_before, recent, gaps, step, share),
        next.1 as query_id,
        foreseen.queries_before + 1 as queries_before,
        arraySlice(arrayPushBack(foreseen.recent, toString(next.1)), {{ length }}) as recent,
        arraySlice(arrayPushBack(foreseen.gaps, 0.), {{ length }}) as gaps,
        toUInt8(foreseen.step + 1) as step,
        foreseen.share * next.2 as share
    from (
        select
            *,
            {{ predict_full('next_query') }} as prediction
        from paths
        where step < {{ var('prefetch').steps_ahead }}
    ) as foreseen
    array join {{ next_queries('foreseen.prediction') }} as next
    where foreseen.share * next.2 >= {{ var('prefetch').least_path_share }}

)

-- Of one step the paths exclude each other; between steps the same query may be meant.
select
    sequence_key,
    dashboard,
    query_id,
    max(share_of_step) as share,
    argMax(step, share_of_step) as likeliest_step
from (
    select
        sequence_key,
        dashboard,
        query_id,
        step,
        sum(paths.share) as share_of_step
    from paths
    where step > 0
    group by sequence_key, dashboard, query_id, step
)
group by sequence_key, dashboard, query_id
