-- A view: the sequences that are open now, each after its latest query. It reads what was
-- collected, not the table of features, and so is as new as the latest `collect`.
{%- set horizon = var('next_query_horizon_minutes') * 60 %}

with

-- Those of everybody who has an open sequence: what somebody asked before says who they are.
queries as (

    select *
    from {{ ref('stg_queries') }}
    where user_key in (
        select user_key
        from {{ ref('stg_queries') }}
        where
            {{ is_asked() }}
            and event_at > {{ present_at() }} - toIntervalSecond({{ horizon }})
    )

),

latest as (

    select
        *,
        greatest(0, dateDiff('millisecond', asked_at, {{ present_at() }}) / 1e3) as silent_seconds,
        toUInt8(log2(greatest(silent_seconds, 1))) as silent_power
    from ({{ next_query_features('queries') }})
    where silent_seconds < {{ horizon }}
    order by asked_at desc, log_id desc
    limit 1 by sequence_key

)

select
    latest.*,
    if(pauses.pauses = 0, 0.5, pauses.follows_share) as follows_share
from latest
left join {{ ref('next_query_pauses') }} as pauses
    on pauses.query_id = latest.query_id and pauses.silent_power = latest.silent_power
