{# What tuning tried and found. Pure Jinja, so that Python renders the same text
   (training/treehouse/tune/trials.py). Append-only: a trial is one row when it ends. #}

{% macro trials_ddl(database, engine='MergeTree', cluster='') %}
{%- set on_cluster = ' on cluster ' ~ cluster if cluster else '' -%}
create table if not exists {{ database }}.trials{{ on_cluster }}
(
    model LowCardinality(String),
    study String comment 'Hash of data, contract, code and seed: only losses of one study compare',
    trial UInt32 comment 'Counts from 0',
    finished_at DateTime64(6, 'UTC') default now64(6),
    seconds Float64,
    state LowCardinality(String) comment 'complete, pruned or failed',
    is_default Bool comment 'With the parameters of the spec',
    candidate LowCardinality(String) comment 'Trainer and objective',
    parameters String comment 'JSON',
    loss Nullable(Float64) comment 'Mean over the folds; null unless complete',
    fold_losses Array(Float64) comment 'The newest fold first',
    curve Map(UInt32, Float64) comment 'Loss by number of trees on the newest fold: what prunes',
    message String comment 'Why it failed'
)
engine = {{ engine }} order by (model, study, trial)
comment 'One row for each trial of a tuning study';

create table if not exists {{ database }}.tuned{{ on_cluster }}
(
    at DateTime64(6, 'UTC') default now64(6),
    model LowCardinality(String),
    contract String comment 'MD5 of the features and heads',
    study String,
    trial UInt32 comment 'The one to take: of the least loss, if that is more than luck',
    candidate LowCardinality(String),
    parameters String comment 'JSON',
    loss Float64,
    default_loss Float64 comment 'The least with parameters of the spec',
    trials UInt32 comment 'Of the study, when this was written'
)
engine = {{ engine }} order by (model, at)
comment 'One row for each time that tuning ended: what train --tuned takes is the newest'
{% endmacro %}
