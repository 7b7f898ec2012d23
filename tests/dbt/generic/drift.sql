-- What the monitor measured last.
{% test psi_below(model, max, alpha=0.01) %}
    select *
    from {{ model }}
    where psi >= {{ max }} and p_distribution <= {{ alpha }}
{% endtest %}

-- Measured at once: for the features model of a use case, with a severity of your choice.
{% test no_drift(model, use_case, psi=0.2, ks=0.15, alpha=0.01, all_rows=false) %}
    select *
    from ({{ drift(use_case, relation=model if all_rows else none) }}) -- noqa
    where
        (p_distribution <= {{ alpha }} and (psi >= {{ psi }} or kolmogorov_smirnov >= {{ ks }}))
        or (p_missing <= {{ alpha }} and abs(missing_share - reference_missing_share) >= {{ ks }})
{% endtest %}
