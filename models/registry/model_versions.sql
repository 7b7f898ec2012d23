-- Every published version and what became of it, as `treehouse models` lists them.

with lives as (

    select
        model,
        version,
        argMax(action, at) as last_action,
        max(at) as last_event_at
    from {{ source('registry', 'events') }}
    where version > 0
    group by model, version

)

select
    versions.model as model,
    versions.version as version,
    multiIf(
        champions.version = versions.version, 'champion',
        lives.last_action = '', 'incomplete',
        lives.last_action = 'retire', 'retired',
        lives.last_action = 'collect', 'collected',
        'published'
    ) as state,
    versions.created_at as created_at,
    nullIf(lives.last_event_at, toDateTime64(0, 6, 'UTC')) as last_event_at,
    versions.contract as contract,
    versions.features as features,
    versions.heads as heads,
    versions.training_from as training_from,
    versions.training_to as training_to,
    versions.training_rows as training_rows,
    nullIf(versions.holdout_from, toDateTime64(0, 3, 'UTC')) as holdout_from,
    versions.holdout_rows as holdout_rows,
    versions.spec_hash as spec_hash,
    versions.libraries as libraries,
    versions.parameters as parameters,
    versions.metrics as metrics,
    versions.bytes as model_bytes,
    lower(hex(versions.bundle)) || '.bundle' as model_file
from {{ source('registry', 'versions') }} as versions
left join lives
    on versions.model = lives.model and versions.version = lives.version
left join {{ source('registry', 'champions') }} as champions
    on versions.model = champions.model and versions.contract = champions.contract
