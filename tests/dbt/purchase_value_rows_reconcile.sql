-- Every customer of the log is scored.
select
    (select uniqExact(customer_id) from {{ ref('stg_purchases') }}) as customers,
    (select count() from {{ ref('purchase_value_scores') }}) as scored
where customers != scored
