-- Who answers now, for each contract of a model, and who decided so.

with decisions as (

    select
        model,
        contract,
        argMax((version, action, actor, reason, at), (at, bundle)) as last_one
    from {{ source('registry', 'events') }}
    where action in ('promote', 'rollback')
    group by model, contract

)

select
    decisions.model as model,
    decisions.contract as contract,
    nullIf(decisions.last_one.1, 0) as version,
    champions.version = decisions.last_one.1 as is_answering,
    decisions.last_one.2 as action,
    decisions.last_one.3 as actor,
    decisions.last_one.4 as reason,
    decisions.last_one.5 as promoted_at
from decisions
left join {{ source('registry', 'champions') }} as champions
    on decisions.model = champions.model and decisions.contract = champions.contract
