{% test in_range(model, column_name, min=none, max=none) %}
    select {{ column_name }}
    from {{ model }}
    where
        {% if min is not none %}{{ column_name }} < {{ min }}{% else %}false{% endif %}
        or {% if max is not none %}{{ column_name }} > {{ max }}{% else %}false{% endif %}
        or isNaN(toFloat64({{ column_name }}))
{% endtest %}

{% test at_least(model, column_name, other) %}
    select {{ column_name }}, {{ other }}
    from {{ model }}
    where {{ column_name }} < {{ other }}
{% endtest %}

{% test at_most(model, column_name, other) %}
    select {{ column_name }}, {{ other }}
    from {{ model }}
    where {{ column_name }} > {{ other }}
{% endtest %}

{% test share_below(model, column_name, max) %}
    select share
    from (select countIf({{ column_name }}) / count() as share from {{ model }})
    where share > {{ max }}
{% endtest %}

{% test unique_together(model, columns) %}
    select {{ columns | join(', ') }}
    from {{ model }}
    group by {{ columns | join(', ') }}
    having count() > 1
{% endtest %}
