-- A row for each query that a client asked: what it and those before it in the same sequence were.
{{ config(materialized='table', engine='MergeTree', order_by='(asked_at, log_id)') }}

{{ next_query_features(ref('stg_queries')) }}
