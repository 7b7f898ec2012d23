-- Every install is scored, or its observation window has not passed.
select
    (select count() from {{ ref('stg_installs') }}) as installs,
    (select count() from {{ ref('ltv_scores') }}) as scored,
    (
        select count()
        from {{ ref('stg_installs') }}
        where install_day > (select last_observed_install_day from {{ ref('ltv_observation') }})
    ) as too_young
where installs != scored + too_young
