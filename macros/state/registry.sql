{# The registry's tables. Pure Jinja, so that Python renders the same text (training/treehouse/clickhouse/ddl.py).
   Append-only: nothing is ever updated, and a full refresh of the dbt models never comes here.
   A column that came later is added below its table, so that older registries get it too.
   `credentials` says as whom dictionaries read (training/treehouse/clickhouse/ddl.py); none leaves them out. #}

{% macro registry_ddl(database, credentials='', engine='MergeTree', cluster='') %}
{%- set on_cluster = ' on cluster ' ~ cluster if cluster else '' -%}
create database if not exists {{ database }}{{ on_cluster }} engine = Atomic;

create table if not exists {{ database }}.versions{{ on_cluster }}
(
    model LowCardinality(String) comment 'Name of the use case',
    version UInt32 comment 'Counts from 1 for each model',
    created_at DateTime64(6, 'UTC') default now64(6),
    contract String comment 'MD5 of the features and heads that it was trained for',
    bundle UInt64 comment 'First 8 bytes of the SHA-256: the name of the model file',
    sha256 FixedString(64) comment 'Of the model file, in hexadecimal',
    bytes UInt64 comment 'Size of the model file',
    heads Array(String) comment 'What it answers',
    spec_hash String comment 'MD5 of the spec and the training code',
    training_from DateTime64(3, 'UTC') comment 'Time of the first training row',
    training_to DateTime64(3, 'UTC') comment 'Time of the last training row',
    training_rows UInt64,
    training_fingerprint UInt64 comment 'Hash over all training rows, in any order',
    libraries Map(String, String) comment 'Versions of what fitted it',
    parameters String comment 'JSON',
    metrics String comment 'JSON: model and baselines on the same holdout'
)
engine = {{ engine }} order by (model, version)
comment 'One row for each published version of a model';

-- The window makes the engine keep the first of two rows that claim the same number.
alter table {{ database }}.versions{{ on_cluster }}
    add column if not exists features Array(Tuple(name String, kind String)) comment 'The contract: arguments in order, numeric or categorical',
    add column if not exists networks Array(String) comment 'Outputs of its networks; empty where there are trees alone',
    add column if not exists holdout_from DateTime64(3, 'UTC') comment 'Time of the first test row, which no fit has seen',
    add column if not exists holdout_rows UInt64 comment 'Rows of the test, on which the metrics are',
    modify setting non_replicated_deduplication_window = 1000;

create table if not exists {{ database }}.artifacts{{ on_cluster }}
(
    bundle UInt64,
    sha256 FixedString(64),
    created_at DateTime64(6, 'UTC') default now64(6),
    content String comment 'The model file itself' codec(ZSTD(3))
)
engine = {{ engine }} order by bundle
comment 'The model files, so that any node can be given what it lacks';

create table if not exists {{ database }}.golden_rows{{ on_cluster }}
(
    bundle UInt64,
    row UInt32,
    numeric Array(Float64),
    categorical Array(String),
    answers Array(Float64) comment 'What the trainer itself answers for this row'
)
engine = {{ engine }} order by (bundle, row)
comment 'Inputs with the trainer''s own answers: any version can be verified at any time';

alter table {{ database }}.golden_rows{{ on_cluster }}
    add column if not exists tokens Array(Array(String)) comment 'Sequences of strings, for networks',
    add column if not exists series Array(Array(Float64)) comment 'Sequences of numbers, for networks';

create table if not exists {{ database }}.events{{ on_cluster }}
(
    at DateTime64(6, 'UTC') default now64(6),
    model LowCardinality(String),
    contract String,
    action LowCardinality(String) comment 'publish, promote, rollback, retire or collect',
    version UInt32 comment 'After a promotion or rollback, it answers; 0 answers NULL',
    bundle UInt64,
    actor String,
    reason String
)
engine = {{ engine }} order by (model, at)
comment 'Who promoted what, when and why';

create table if not exists {{ database }}.statistics{{ on_cluster }}
(
    model LowCardinality(String),
    version UInt32,
    created_at DateTime64(6, 'UTC') default now64(6),
    role LowCardinality(String) comment 'feature and label: over the training rows; prediction: over rows that were not fitted',
    name LowCardinality(String) comment 'Feature, label or head',
    kind LowCardinality(String) comment 'numeric or categorical',
    rows UInt64,
    nulls UInt64 comment 'Null, NaN or, for a category, the empty string',
    mean Nullable(Float64) comment 'Of the finite values',
    deviation Nullable(Float64) comment 'Sample standard deviation of the finite values',
    quantiles Array(Float64) comment '0 %, 1 %, ... 100 % of the finite values',
    edges Array(Float64) comment 'Between the bins: bin i holds edges[i - 1] <= x < edges[i]',
    shares Array(Float64) comment 'Of the rows that are not null: in each bin; or in each category, and last in all others',
    categories Array(String) comment 'Most frequent first, at most 1000',
    importance Float64 comment 'Mean absolute Shapley contribution; the features of a version sum to 1'
)
engine = {{ engine }} order by (model, version, role, name)
comment 'What a version saw when it was trained: one row for each feature, head and label';

create table if not exists {{ database }}.gates{{ on_cluster }}
(
    at DateTime64(6, 'UTC') default now64(6),
    model LowCardinality(String),
    version UInt32 comment '0: refused',
    bundle UInt64 comment 'The model file that was judged, as trained',
    step UInt8 comment 'Gates are tried in this order',
    gate LowCardinality(String),
    passed Bool,
    value Float64 comment 'What was measured; NaN where it could not be',
    bound Float64 comment 'The most that value may be',
    detail String,
    forced Bool comment 'Published although it did not pass; the reason is in events'
)
engine = {{ engine }} order by (model, at)
comment 'What each publish was judged by: one row for each gate';
{%- if credentials is not none %}

create dictionary if not exists {{ database }}.champions{{ on_cluster }}
(
    model String,
    contract String,
    version UInt32,
    bundle UInt64
)
primary key model, contract
source(clickhouse({{ credentials }} query '
    select model, contract, chosen.1 as version, chosen.2 as bundle
    from (
        select model, contract, argMax((version, bundle), (at, bundle)) as chosen
        from {{ database }}.events
        where action in (''promote'', ''rollback'')
        group by model, contract
    )
'))
layout(complex_key_hashed())
lifetime(min 1 max 3)
comment 'Which version answers, for each model and contract';

create dictionary if not exists {{ database }}.bundles{{ on_cluster }}
(
    model String,
    version UInt32,
    bundle UInt64
)
primary key model, version
source(clickhouse({{ credentials }} query '
    select model, version, argMax(bundle, created_at) as bundle
    from {{ database }}.versions
    where (model, version) not in (
        select model, version from {{ database }}.events where action = ''collect''
    )
    group by model, version
'))
layout(complex_key_hashed())
lifetime(min 1 max 3)
comment 'The model file of each version'
{%- endif %}
{% endmacro %}
