{# What retraining did. Pure Jinja, so that Python renders the same text (training/treehouse/retrain/log.py).
   Append-only: a run is one row when it starts, one for each step, and one when it ends. #}

{% macro runs_ddl(database, engine='MergeTree', cluster='') %}
{%- set on_cluster = ' on cluster ' ~ cluster if cluster else '' -%}
create table if not exists {{ database }}.run_steps{{ on_cluster }}
(
    at DateTime64(6, 'UTC') default now64(6),
    model LowCardinality(String),
    run UInt32 comment 'Counts from 1 for each model',
    run_id UUID comment 'Of the process that got this number',
    step LowCardinality(String) comment 'start, then the step that begins or goes on',
    outcome LowCardinality(String) comment 'Empty while it runs; else promoted, published, unchanged, refused, failed or killed',
    trigger LowCardinality(String) comment 'hand, nothing promoted, contract, age or drift',
    reason String,
    version UInt32 comment 'The version that was published; 0 for none',
    detail String,
    host String,
    process UInt32
)
engine = {{ engine }} order by (model, run, at)
-- Of two processes that claim the same number of a run, the engine keeps the first one's row.
settings non_replicated_deduplication_window = 1000
comment 'What each retraining did, step by step';

create or replace view {{ database }}.runs{{ on_cluster }}
(
    model LowCardinality(String),
    run UInt32,
    run_id UUID,
    started_at DateTime64(6, 'UTC'),
    finished_at Nullable(DateTime64(6, 'UTC')),
    trigger LowCardinality(String),
    reason String,
    step LowCardinality(String) comment 'The last one that began; where it failed, if it did',
    outcome LowCardinality(String) comment 'running, or how it ended',
    version UInt32,
    detail String
)
as select
    model,
    run,
    argMin(s.run_id, s.at) as run_id,
    min(s.at) as started_at,
    nullIf(maxIf(s.at, s.outcome != ''), toDateTime64(0, 6, 'UTC')) as finished_at,
    argMin(s.trigger, s.at) as trigger,
    argMin(s.reason, s.at) as reason,
    argMax(s.step, s.at) as step,
    coalesce(nullIf(argMaxIf(s.outcome, s.at, s.outcome != ''), ''), 'running') as outcome,
    max(s.version) as version,
    argMaxIf(s.detail, s.at, s.detail != '') as detail
from {{ database }}.run_steps as s
group by model, run
comment 'One row for each retraining'
{% endmacro %}
