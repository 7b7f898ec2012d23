{# What monitoring keeps: its measurements, and what happened to each alert. Pure Jinja, so that
   Python renders the same text (training/treehouse/clickhouse/ddl.py). Append-only: the state of an alert is a view. #}

{% macro monitoring_ddl(database, engine='MergeTree', cluster='') %}
{%- set on_cluster = ' on cluster ' ~ cluster if cluster else '' -%}
create table if not exists {{ database }}.drift{{ on_cluster }}
(
    at DateTime64(6, 'UTC') comment 'When the run began; equal for all rows of a run',
    model LowCardinality(String),
    version UInt32,
    role LowCardinality(String) comment 'feature or prediction',
    name LowCardinality(String) comment 'Feature or head',
    kind LowCardinality(String) comment 'numeric or categorical',
    rows UInt64 comment 'Of the window',
    reference_rows UInt64 comment 'Of the training',
    missing_share Nullable(Float64) comment 'Null, NaN or, for a category, the empty string',
    reference_missing_share Float64,
    unseen_share Nullable(Float64) comment 'Of the values that are there: outside the stored categories',
    reference_unseen_share Nullable(Float64) comment 'To be expected: of the training, categories met once, or not stored',
    mean Nullable(Float64) comment 'Null where a value is infinite',
    reference_mean Nullable(Float64),
    mean_shift Nullable(Float64) comment 'Difference of the means in standard deviations of the training',
    psi Nullable(Float64) comment 'Population stability index over the stored bins or categories',
    psi_noise Nullable(Float64) comment 'What the index is on average without a change, in samples this small',
    jensen_shannon Nullable(Float64) comment 'Divergence in bits: 0 for equal, 1 for disjoint',
    kolmogorov_smirnov Nullable(Float64) comment 'Largest difference of the distribution functions',
    wasserstein Nullable(Float64) comment 'Distance in standard deviations of the training',
    chi_square Nullable(Float64) comment 'Of homogeneity, over bins that expect at least 5 rows',
    degrees UInt32 comment 'Degrees of freedom of chi_square',
    p_distribution Nullable(Float64) comment 'Corrected for all tests of the run, as the next two',
    p_missing Nullable(Float64),
    p_unseen Nullable(Float64) comment 'Null as well where more categories were met than are stored',
    importance Float64 comment 'Share of the mean absolute Shapley contributions; of the prediction: 1',
    impact Nullable(Float64) comment 'psi beyond psi_noise, times importance'
)
engine = {{ engine }} order by (model, at, role, name)
comment 'One row for each run of the monitor and column';

create table if not exists {{ database }}.health{{ on_cluster }}
(
    at DateTime64(6, 'UTC'),
    model LowCardinality(String),
    version UInt32 comment '0: none is promoted',
    has_statistics Bool comment 'Whether the version came with statistics to compare with',
    window_days UInt32,
    rows UInt64 comment 'Of the window',
    usual_rows Nullable(Float64) comment 'Mean of the windows before it, at most 4',
    p_volume Nullable(Float64) comment 'Chance of so different a count at the usual rate',
    newest_at Nullable(DateTime64(3, 'UTC')) comment 'Newest row that is not of the future',
    future_rows UInt64 comment 'Rows of more than a day ahead of the engine''s clock'
)
engine = {{ engine }} order by (model, at)
comment 'One row for each run of the monitor and model';

create table if not exists {{ database }}.quality{{ on_cluster }}
(
    at DateTime64(6, 'UTC'),
    model LowCardinality(String),
    version UInt32,
    cohort_from DateTime64(3, 'UTC') comment 'First row of the cohort',
    cohort_to DateTime64(3, 'UTC'),
    rows UInt64 comment 'Whose labels have matured, and which no fit has seen',
    measure LowCardinality(String) comment 'What loss is: mae in units of the label, brier, or the share of wrong decisions',
    loss Nullable(Float64) comment 'Of the first head',
    loss_low Nullable(Float64) comment 'Ends of the 95 % interval, as with the next two',
    loss_high Nullable(Float64),
    calibration Nullable(Float64) comment 'Sum of the predictions over the sum of the labels',
    calibration_low Nullable(Float64),
    calibration_high Nullable(Float64),
    auc Nullable(Float64) comment 'Of the prediction for a label above 0',
    auc_low Nullable(Float64),
    auc_high Nullable(Float64),
    holdout_loss Nullable(Float64) comment 'What the version''s metrics say',
    holdout_calibration Nullable(Float64),
    holdout_auc Nullable(Float64)
)
engine = {{ engine }} order by (model, at, cohort_from)
comment 'One row for each run of the monitor and cohort of matured labels';

create table if not exists {{ database }}.alert_events{{ on_cluster }}
(
    at DateTime64(6, 'UTC') default now64(6),
    alert String comment 'model/kind/name',
    model LowCardinality(String),
    version UInt32,
    kind LowCardinality(String) comment 'drift, missing, unseen, prediction, volume, freshness, quality or serving',
    name LowCardinality(String) comment 'Column or what else is concerned',
    event LowCardinality(String) comment 'open, escalate, seen, quiet, acknowledge, resolve or deliver',
    severity LowCardinality(String) comment 'warn or error',
    value Nullable(Float64),
    bound Nullable(Float64),
    detail String,
    actor String
)
engine = {{ engine }} order by (alert, at)
comment 'What happened to each alert';

create table if not exists {{ database }}.query_log_shape{{ on_cluster }}
(
    event_date Date,
    event_time DateTime,
    type Enum8('QueryStart' = 1, 'QueryFinish' = 2, 'ExceptionBeforeStart' = 3, 'ExceptionWhileProcessing' = 4),
    query_kind LowCardinality(String),
    query String,
    tables Array(LowCardinality(String)),
    used_executable_user_defined_functions Array(LowCardinality(String)),
    query_duration_ms UInt64,
    read_rows UInt64
)
engine = MergeTree order by event_time
comment 'Always empty: the columns of system.query_log for engines that keep none';

create or replace view {{ database }}.alerts{{ on_cluster }} as
with opened as
(
    select
        alert,
        maxIf(at, event = 'open') as opened_at,
        maxIf(at, event in ('open', 'escalate')) as raised_at,
        maxIf(at, event in ('open', 'escalate', 'seen')) as seen_at,
        maxIf(at, event = 'deliver') as delivered_at,
        maxIf(at, event in ('open', 'escalate', 'resolve')) as notify_at
    from {{ database }}.alert_events
    group by alert
)
select
    events.alert as alert,
    any(events.model) as model,
    any(events.kind) as kind,
    any(events.name) as name,
    multiIf(
        countIf(events.event = 'resolve') > 0, 'resolved',
        countIf(events.event = 'acknowledge' and events.at > opened.raised_at) > 0, 'acknowledged',
        'open'
    ) as state,
    argMaxIf(events.severity, events.at, events.event in ('open', 'escalate', 'seen')) as severity,
    argMaxIf(events.version, events.at, events.event in ('open', 'escalate', 'seen')) as version,
    argMaxIf(events.value, events.at, events.event in ('open', 'escalate', 'seen')) as value,
    argMaxIf(events.bound, events.at, events.event in ('open', 'escalate', 'seen')) as bound,
    argMaxIf(events.detail, events.at, events.event in ('open', 'escalate', 'seen')) as detail,
    any(opened.opened_at) as opened_at,
    any(opened.seen_at) as seen_at,
    max(events.at) as changed_at,
    countIf(events.event = 'quiet' and events.at > opened.seen_at) as quiet_runs,
    any(opened.notify_at) as notify_at,
    toBool(
        notify_at > any(opened.delivered_at)
        and (state != 'resolved' or any(opened.delivered_at) >= opened_at)
    ) as is_undelivered
from {{ database }}.alert_events as events
inner join opened on events.alert = opened.alert
where events.at >= opened.opened_at
group by events.alert
{% endmacro %}
