{# The registry's tables. Pure Jinja, so that Python renders the same text (training/registry.py).
   Append-only: nothing is ever updated, and a full refresh of the dbt models never comes here. #}

{% macro registry_ddl(database, credentials='') %}
create database if not exists {{ database }} engine = Atomic;

create table if not exists {{ database }}.versions
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
engine = MergeTree order by (model, version)
comment 'One row for each published version of a model';

create table if not exists {{ database }}.artifacts
(
    bundle UInt64,
    sha256 FixedString(64),
    created_at DateTime64(6, 'UTC') default now64(6),
    content String comment 'The model file itself' codec(ZSTD(3))
)
engine = MergeTree order by bundle
comment 'The model files, so that any node can be given what it lacks';

create table if not exists {{ database }}.golden_rows
(
    bundle UInt64,
    row UInt32,
    numeric Array(Float64),
    categorical Array(String),
    answers Array(Float64) comment 'What the trainer itself answers for this row'
)
engine = MergeTree order by (bundle, row)
comment 'Inputs with the trainer''s own answers: any version can be verified at any time';

create table if not exists {{ database }}.events
(
    at DateTime64(6, 'UTC') default now64(6),
    model LowCardinality(String),
    contract String,
    action LowCardinality(String) comment 'publish, promote, rollback or retire',
    version UInt32 comment 'The version that answers from now on; 0 answers NULL',
    bundle UInt64,
    actor String,
    reason String
)
engine = MergeTree order by (model, at)
comment 'Who promoted what, when and why';

create or replace dictionary {{ database }}.champions
(
    model String,
    contract String,
    version UInt32,
    bundle UInt64
)
primary key model, contract
source(clickhouse({{ credentials }} query '
    select model, contract, argMax(version, at) as version, argMax(bundle, at) as bundle
    from {{ database }}.events
    where action in (''promote'', ''rollback'', ''retire'')
    group by model, contract
'))
layout(complex_key_hashed())
lifetime(min 1 max 3)
comment 'Which version answers, for each model and contract';

create or replace dictionary {{ database }}.bundles
(
    model String,
    version UInt32,
    bundle UInt64
)
primary key model, version
source(clickhouse({{ credentials }} query '
    select model, version, argMax(bundle, created_at) as bundle
    from {{ database }}.versions
    group by model, version
'))
layout(complex_key_hashed())
lifetime(min 1 max 3)
comment 'The model file of each version'
{% endmacro %}
